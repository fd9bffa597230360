from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from headway.clock import SystemClock

if TYPE_CHECKING:
    from tests.unit.cli_shop import Shop


def to_text(instant_ms: int) -> str:
    return (
        datetime.fromtimestamp(instant_ms / 1000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def test_list_shows_declared_schedules_with_their_next_fire_time(shop: Shop) -> None:
    (hourly,) = shop.json("schedules", "list", *shop.target)["schedules"]
    assert (hourly["name"], hourly["task"], hourly["known_to_carrier"]) == ("hourly", "tidy", False)
    assert hourly["next_fire_at"].endswith(":00:00.000Z")
    assert "new" in shop.ok("schedules", "list", *shop.target)


def test_pause_and_resume_before_any_worker_has_run(shop: Shop) -> None:
    assert shop.json("schedules", "pause", "hourly", *shop.target) == {"paused": ["hourly"]}
    (hourly,) = shop.json("schedules", "list", *shop.target)["schedules"]
    assert (hourly["paused"], hourly["next_fire_at"]) == (True, None)
    assert shop.ok("schedules", "resume", "hourly", *shop.target) == "hourly resumed\n"


def test_what_came_during_a_pause_is_dropped_also_when_no_worker_ran(shop: Shop) -> None:
    """Fire times count from the last one on: that is the end of the pause now."""
    shop.ok("schedules", "pause", "hourly", *shop.target)
    before = to_text(SystemClock().now_ms())
    shop.ok("schedules", "resume", "hourly", *shop.target)
    (hourly,) = shop.json("schedules", "list", *shop.target)["schedules"]
    assert before <= hourly["last_fire_at"] <= to_text(SystemClock().now_ms())


def test_resuming_what_was_not_paused_drops_nothing(shop: Shop) -> None:
    shop.ok("schedules", "resume", "hourly", *shop.target)
    (hourly,) = shop.json("schedules", "list", *shop.target)["schedules"]
    assert hourly["last_fire_at"] is None


def test_pause_of_an_unknown_schedule_is_exit_code_1(shop: Shop) -> None:
    result = shop.run("schedules", "pause", "nightly", *shop.target)
    assert (result.exit_code, "no schedule 'nightly'" in result.stderr) == (1, True)


def test_without_code_the_carrier_tells_what_it_knows(shop: Shop) -> None:
    shop.ok("schedules", "pause", "hourly", *shop.target)
    (hourly,) = shop.json("schedules", "list", "--namespace", "shop")["schedules"]
    assert (hourly["name"], hourly["task"], hourly["paused"], hourly["next_fire_at"]) == (
        "hourly",
        "tidy",
        True,
        None,
    )


def test_run_enqueues_the_schedules_job_now(shop: Shop) -> None:
    job = shop.json("schedules", "run", "hourly", *shop.target)["id"]
    assert shop.json("jobs", "show", job, *shop.target)["task"] == "tidy"


def test_run_needs_the_code_and_a_declared_schedule(shop: Shop) -> None:
    for args, code, said in (
        (["hourly", "--namespace", "shop"], 2, "needs --app"),
        (["nightly", *shop.target], 1, "no schedule 'nightly'; there are: hourly"),
    ):
        result = shop.run("schedules", "run", *args)
        assert result.exit_code == code
        assert said in result.stderr


def test_one_is_made_changed_run_paused_and_deleted(shop: Shop) -> None:
    made = shop.ok("schedules", "create", shop.app, "seven", "welcome", "7", "--cron", "0 3 * * *")
    assert made.startswith("seven made: 0 3 * * * (UTC), next fire ")
    fields = shop.json(
        "schedules",
        "change",
        "seven",
        "welcome",
        "8",
        "--kwargs",
        '{"template": "pro"}',
        "--priority",
        "9",
        *shop.target,
    )
    assert (fields["args"], fields["kwargs"], fields["priority"]) == ([8], {"template": "pro"}, 9)
    fields = shop.json("schedules", "change", "seven", "--every", "5m", "--catch-up", "all", *shop.target)
    assert (fields["spec"], fields["catch_up"], fields["args"]) == ("every 0:05:00", "all", [8])
    job = shop.json("schedules", "run", "seven", *shop.target)["id"]
    assert shop.json("jobs", "show", job, *shop.target)["args"] == [8]
    assert shop.json("schedules", "pause", "seven", *shop.target) == {"paused": ["seven"]}
    fields = shop.json(
        "schedules", "create", "seven", "welcome", "9", "--every", "1h", "--replace", *shop.target
    )
    assert (fields["paused"], fields["args"]) == (True, [9])
    assert shop.json("schedules", "resume", "seven", "--namespace", "shop") == {"paused": []}
    listed = {one["name"]: one for one in shop.json("schedules", "list", "--namespace", "shop")["schedules"]}
    assert (listed["seven"]["args"], listed["seven"]["made_at_run_time"]) == ([9], True)
    assert listed["seven"]["next_fire_at"] is not None
    assert shop.json("schedules", "delete", "seven", "--namespace", "shop") == {"deleted": ["seven"]}
    assert [one["name"] for one in shop.json("schedules", "list", *shop.target)["schedules"]] == ["hourly"]


def test_what_cannot_be_made_says_why(shop: Shop) -> None:
    shop.ok("schedules", "create", "there", "tidy", "--every", "1h", "--paused", *shop.target)
    for words, code, said in (
        (["create", "x", "welcome", "seven", "--every", "1h"], 2, "argument 'user_id'"),
        (["create", "x", "nosuch", "--every", "1h"], 1, "no task 'nosuch'"),
        (["create", "x", "tidy"], 2, "either cron"),
        (["create", "x", "tidy", "--every", "1h", "--cron", "0 3 * * *"], 2, "either cron"),
        (["create", "x", "tidy", "--cron", "0 3 * *"], 2, "has 4 fields"),
        (["create", "x", "tidy", "--every", "1h", "--first-fire", "2030-01-31T09:00"], 2, "no time zone"),
        (
            ["create", "x", "tidy", "--every", "1h", "--until", "2020-01-31T09:00Z"],
            2,
            "until must be in the future",
        ),
        (
            ["create", "x", "tidy", "--every", "1h", "--paused", "--replace"],
            2,
            "--paused is for a new schedule",
        ),
        (["create", "x"], 2, "Missing argument 'TASK'"),
        (["create", "there", "tidy", "--every", "1h"], 1, "there is one of that name"),
        (["create", "hourly", "tidy", "--every", "1h"], 1, "stands in the code"),
        (["change"], 2, "Missing argument 'NAME'"),
        (["change", "there"], 2, "nothing to change"),
        (["change", "there", "--queue", "q"], 2, "--queue: give the task"),
        (["change", "there", "--timezone", "UTC"], 2, "either cron"),
        (["change", "x", "--every", "1h"], 1, "no schedule 'x' was made"),
        (["change", "hourly", "--every", "1h"], 1, "stands in the code"),
        (["delete", "hourly"], 1, "no schedule 'hourly' made at run time"),
    ):
        result = shop.run("schedules", *words, *shop.target)
        assert (result.exit_code, said in result.stderr) == (code, True), (words, result.stderr)
