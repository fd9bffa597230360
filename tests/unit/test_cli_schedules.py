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
        (["nightly", *shop.target], 1, "no schedule 'nightly'; declared: hourly"),
    ):
        result = shop.run("schedules", "run", *args)
        assert result.exit_code == code
        assert said in result.stderr
