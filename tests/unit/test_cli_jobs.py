from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest
from zstandard import ZstdCompressor

from headway import codec
from headway.brokers.base import BrokerSettings, Progress
from headway.brokers.url import from_url
from headway.job import JobId, Succeeded, new_job_id

if TYPE_CHECKING:
    from tests.unit.cli_shop import Shop


def test_list_filters_and_pages(shop: Shop) -> None:
    ids = [shop.enqueue("welcome", str(n)) for n in range(3)]
    report = shop.enqueue("report", "q1")
    first = shop.json("jobs", "list", *shop.target, "--queue", "email", "--limit", "2")
    rest = shop.json(
        "jobs", "list", *shop.target, "--queue", "email", "--limit", "2", "--after", first["cursor"]
    )
    assert sorted(job["id"] for page in (first, rest) for job in page["jobs"]) == sorted(ids)
    assert rest["cursor"] is None
    assert [job["id"] for job in shop.json("jobs", "list", *shop.target, "--task", "report")["jobs"]] == [
        report
    ]
    assert shop.json("jobs", "list", *shop.target, "--state", "failed")["jobs"] == []


def test_jobs_are_found_by_tag_and_show_theirs(shop: Shop) -> None:
    shop.enqueue("welcome", "1")
    report = shop.enqueue("report", "q1")
    [listed] = shop.json("jobs", "list", *shop.target, "--tag", "billing", "--tag", "slow")["jobs"]
    assert (listed["id"], listed["tags"]) == (report, ["billing", "slow"])
    assert shop.json("jobs", "list", *shop.target, "--tag", "slow", "--task", "welcome")["jobs"] == []
    assert "billing, slow" in shop.ok("jobs", "list", *shop.target)
    assert shop.json("jobs", "show", report, *shop.target)["tags"] == ["billing", "slow"]
    unknown = shop.run("jobs", "list", *shop.target, "--tag", "nosuch")
    assert unknown.exit_code != 0
    assert "no task of this app has the tag 'nosuch'; there are: billing, slow" in unknown.stderr
    without = shop.run(
        "jobs", "list", "--url", "sqlite:///headway.db", "--namespace", "shop", "--tag", "slow"
    )
    assert (without.exit_code, "--tag needs the app" in without.stderr) == (2, True)


def test_list_as_a_table(shop: Shop) -> None:
    job = shop.enqueue("welcome", "1")
    head, line = shop.ok("jobs", "list", *shop.target).splitlines()
    assert head.split()[:4] == ["ID", "STATE", "QUEUE", "TASK"]
    assert line.split()[:4] == [job, "ready", "email", "welcome"]
    assert shop.ok("jobs", "list", *shop.target, "--state", "failed") == "no such jobs\n"


def test_the_list_tells_why_a_job_failed_and_who_had_it(shop: Shop) -> None:
    job = shop.enqueue("report", "q1")
    shop.fail("reports")
    (listed,) = shop.json("jobs", "list", "--state", "failed", *shop.target)["jobs"]
    assert listed["last_error"] == {
        "attempt": 1, "at": "2023-11-14T22:13:20.000Z", "type": "ValueError", "message": "no such user",
    }  # fmt: skip
    assert (listed["id"], listed["worker"]) == (job, "w")
    head, line = shop.ok("jobs", "list", "--state", "failed", *shop.target).splitlines()
    assert head.split()[-2:] == ["WORKER", "WHY"]
    assert line.endswith("ValueError: no such user")


def test_the_list_tells_how_far_a_running_job_is(shop: Shop) -> None:
    shop.enqueue("report", "q1")
    shop.claim("reports", Progress(0.4, "fetching\nrows"))
    head, line = shop.ok("jobs", "list", "--state", "running", *shop.target).splitlines()
    assert ("WORKER" in head, "PROGRESS" in head) == (True, True)
    assert "40 %  fetching rows" in line
    (listed,) = shop.json("jobs", "list", "--state", "running", *shop.target)["jobs"]
    assert (listed["progress"], listed["progress_message"], listed["last_error"]) == (
        0.4,
        "fetching\nrows",
        None,
    )


def test_columns_that_say_nothing_are_left_out(shop: Shop) -> None:
    shop.enqueue("welcome", "1")
    head, _ = shop.ok("jobs", "list", *shop.target).splitlines()
    assert head.split() == ["ID", "STATE", "QUEUE", "TASK", "TRY", "ENQUEUED"]


def test_a_narrow_terminal_never_cuts_an_id(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    job = shop.enqueue("welcome", "1")
    _, line = shop.ok("jobs", "list", *shop.target).splitlines()
    assert line.split()[0] == job


def test_list_without_code_needs_the_apps_name(shop: Shop) -> None:
    job = shop.enqueue("welcome", "1")
    listed = shop.json("jobs", "list", "--url", "sqlite:///headway.db", "--namespace", "shop")
    assert [found["id"] for found in listed["jobs"]] == [job]
    result = shop.run("jobs", "list", "--url", "sqlite:///headway.db")
    assert (result.exit_code, "--namespace" in result.stderr) == (2, True)


def test_the_app_may_come_from_the_environment(shop: Shop) -> None:
    job = shop.enqueue("welcome", "1")
    result = shop.run("jobs", "list", "--json", env={"HEADWAY_APP": shop.app})
    assert [found["id"] for found in json.loads(result.stdout)["jobs"]] == [job]


def test_show_tells_how_a_job_failed(shop: Shop) -> None:
    job = shop.enqueue("report", "q1")
    shop.fail("reports")
    shown = shop.ok("jobs", "show", job, *shop.target)
    assert "ValueError no such user" in shown
    assert "  back" in shown
    assert shop.json("jobs", "show", job, *shop.target)["errors"][0]["type"] == "ValueError"


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        # 64 Mi values would take gigabytes, and minutes to print.
        (
            b"\xdd\x03\xff\xff\xf0" + b"\xc0" * (64 * 1024 * 1024 - 16),
            "the payload holds more than 1,000,000 values",
        ),
        (
            b"\xdb\x03\xff\xff\xf0" + b"a" * (64 * 1024 * 1024 - 16),
            "67,108,853 bytes when expanded: too large to be shown",
        ),
    ],
)
def test_show_is_bounded_whatever_a_stored_record_expands_to(shop: Shop, inside: bytes, said: str) -> None:
    """2 KB are stored in each case."""
    packed = ZstdCompressor().compress(inside)
    head = bytes([codec._VERSION << 4 | codec._ZSTD])
    job = shop.enqueue("report", "q1")
    shop.settle("reports", Succeeded(head + packed))
    shown = shop.json("jobs", "show", job, *shop.target)
    assert (shown["result"], shown["state"]) == (None, "succeeded")
    assert shown["unreadable"] == [f"result: {said}"]
    assert shop.json("jobs", "list", *shop.target)["jobs"][0]["id"] == job


def test_show_cuts_a_long_value_for_people_and_not_in_json(shop: Shop) -> None:
    job = shop.enqueue("report", "x" * 20_000)
    shown = shop.ok("jobs", "show", job, *shop.target)
    assert "... (20,004 characters; --json shows all)" in shown
    assert len(shown) < 7000
    assert shop.json("jobs", "show", job, *shop.target)["args"] == ["x" * 20_000]


def test_retry_cancel_promote_remove(shop: Shop) -> None:
    failed = shop.enqueue("report", "q1")
    shop.fail("reports")
    assert shop.json("jobs", "retry", failed, *shop.target) == {"retried": [failed], "not_retried": []}
    assert (
        shop.ok("jobs", "cancel", failed, "--reason", "wrong month", *shop.target) == f"{failed} cancelled\n"
    )
    assert shop.json("jobs", "show", failed, *shop.target)["reason"] == "wrong month"
    delayed = shop.enqueue("welcome", "1", "--delay", "1h")
    shop.ok("jobs", "promote", delayed, *shop.target)
    assert shop.json("jobs", "show", delayed, *shop.target)["state"] == "ready"
    shop.ok("jobs", "remove", delayed, failed, *shop.target)
    assert shop.json("jobs", "list", *shop.target)["jobs"] == []


def test_a_running_job_is_asked_to_stop_and_is_not_said_to_be_cancelled(shop: Shop) -> None:
    running, waiting = shop.enqueue("report", "q1"), shop.enqueue("welcome", "1")
    shop.claim("reports")
    said = shop.ok("jobs", "cancel", running, waiting, "--reason", "too slow", *shop.target)
    assert said == f"{running} asked to stop\n{waiting} cancelled\n"
    assert shop.json("jobs", "show", running, *shop.target)["cancel_requested"] is True
    result = shop.run("jobs", "cancel", running, waiting, new_job_id(), *shop.target, "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["asked_to_stop"], answer["cancelled"]) == (1, [running], [waiting])
    assert len(answer["not_cancelled"]) == 1


def test_what_cannot_be_done_for_one_job_is_exit_code_1_and_done_for_the_others(shop: Shop) -> None:
    there, unknown = shop.enqueue("welcome", "1"), new_job_id()
    result = shop.run("jobs", "remove", there, unknown, *shop.target, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"removed": [there], "not_removed": [unknown]}
    assert unknown in result.stderr


def test_retry_of_all_failed_jobs_asks_first(shop: Shop) -> None:
    ids = {shop.enqueue("report", str(f'"{n}"')) for n in range(3)}
    shop.fail("reports")
    refused = shop.run("jobs", "retry", "--all-failed", *shop.target, answer="n\n")
    assert refused.exit_code == 1
    assert len(shop.json("jobs", "list", *shop.target, "--state", "failed")["jobs"]) == 3
    assert (
        shop.ok("jobs", "retry", "--all-failed", "--queue", "other", "--yes", *shop.target) == "0 retried\n"
    )
    assert set(shop.json("jobs", "retry", "--all-failed", "--yes", *shop.target)["retried"]) == ids


def test_ids_are_checked_before_anything_is_done(shop: Shop) -> None:
    job = shop.enqueue("welcome", "1")
    result = shop.run("jobs", "remove", job, "nonsense", *shop.target)
    assert (result.exit_code, "'nonsense' is not a job id" in result.stderr) == (2, True)
    assert len(shop.json("jobs", "list", *shop.target)["jobs"]) == 1


def test_an_unknown_job_is_exit_code_1(shop: Shop) -> None:
    result = shop.run("jobs", "show", new_job_id(), *shop.target)
    assert (result.exit_code, "not known here" in result.stderr) == (1, True)


def test_watch_prints_events_one_a_line_until_its_limit(shop: Shop) -> None:
    job = JobId(shop.enqueue("report", "q1"))
    # The watch itself makes the carrier record: so something happens until its limit is reached.
    done = threading.Event()

    async def act() -> None:
        async with from_url("sqlite:///headway.db", BrokerSettings("shop")) as carrier:
            while not done.is_set():
                await carrier.cancel([job])
                await carrier.retry([job])

    actor = threading.Thread(target=lambda: asyncio.run(act()))
    actor.start()
    try:
        printed = shop.ok("jobs", "watch", job, "--kind", "cancelled", "--limit", "2", "--json", *shop.target)
    finally:
        done.set()
        actor.join()
    events = [json.loads(line) for line in printed.splitlines()]
    assert [(event["kind"], event["job_id"]) for event in events] == [("cancelled", job)] * 2


def test_watch_refuses_a_kind_that_there_is_not(shop: Shop) -> None:
    result = shop.run("jobs", "watch", "--kind", "exploded", *shop.target)
    assert (result.exit_code, "'exploded'" in result.stderr) == (2, True)
