"""BullMQ and Bull as sources, with the real libraries on the other side."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from headway.migrate.found import BackOff, Dedup, FoundState
from headway.migrate.source import Back, Status
from tests.integration.bulls import (
    cron,
    dedup,
    everything,
    is_bullmq,
    read,
    revert_all,
    source_of,
    take,
    take_schedule,
)
from tests.servers.node_libraries import (
    LIBRARIES,
    NodeLibrary,
    NodeMissingError,
    installed,
    ledger_lines,
    wait_for_lines,
    worker,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from headway.migrate.found import FoundJob, FoundSchedule
    from tests.integration.bulls import Source
    from tests.servers import RedisServer
    from tests.servers.resp import Connection


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    try:
        installed()
    except NodeMissingError as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture
def old(library: str, redis_server: RedisServer, namespace: str) -> Iterator[NodeLibrary]:
    """The real library."""
    with NodeLibrary(library, redis_server.url, namespace) as running:
        yield running


@pytest.fixture
async def source(library: str, redis_server: RedisServer, namespace: str) -> AsyncIterator[Source]:
    made = source_of(library, redis_server.url, namespace)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def wire(redis_server: RedisServer) -> Iterator[Connection]:
    with redis_server.connect() as connection:
        yield connection


def _named(jobs: list[FoundJob]) -> dict[str, FoundJob]:
    found = {job.name: job for job in jobs}
    assert len(found) == len(jobs)
    return found


async def test_waiting_jobs_with_all_that_was_asked_for(
    old: NodeLibrary, source: Source, library: str
) -> None:
    old.add("mail", "plain", {"to": "ü", "n": 1})
    old.add(
        "mail", "own id", [1, 2], jobId="order-7", attempts=3, backoff={"type": "exponential", "delay": 1000}
    )
    old.add("mail", "fixed", None, attempts=2, backoff=500)
    old.add("mail", "custom", "text", attempts=2, backoff={"type": "lunar"})
    old.add("mail", "deduplicated", {}, **dedup(library, "once", ttl=50_000))
    jobs = _named(await read(source, "mail"))
    assert await source.queues() == ["mail"]
    assert list(jobs) == ["plain", "own id", "fixed", "custom", "deduplicated"]
    assert {job.state for job in jobs.values()} == {FoundState.WAITING}
    assert {job.refusal for job in jobs.values()} == {""}
    assert jobs["plain"].args == ({"to": "ü", "n": 1},)
    assert jobs["plain"].attempts_allowed == 1
    assert abs(jobs["plain"].instant_ms - await source.now_ms()) < 60_000
    assert jobs["own id"].key == jobs["own id"].source_id == "order-7"
    assert jobs["own id"].args == ([1, 2],)
    assert jobs["own id"].back_off == BackOff("exponential", 1000)
    assert jobs["plain"].key is None
    assert jobs["fixed"].back_off == BackOff("fixed", 500)
    assert jobs["custom"].back_off == BackOff("lunar")
    if library != "bull3":  # knows no debounce
        assert jobs["deduplicated"].dedup == Dedup("once", 50_000)


async def test_order_priorities_and_lifo(old: NodeLibrary, source: Source, library: str) -> None:
    for name, opts in (
        ("first", {}),
        ("low", {"priority": 9}),
        ("second", {}),
        ("high", {"priority": 1}),
        ("low again", {"priority": 9}),
        ("at once", {"lifo": True}),
    ):
        old.add("q", name, {}, **opts)
    jobs = await read(source, "q")
    assert [job.priority for job in jobs if job.state is FoundState.PRIORITISED] == [1, 9, 9]
    names = [job.name for job in jobs]
    if is_bullmq(library):
        assert names == ["at once", "first", "second", "high", "low", "low again"]
    else:
        assert names == ["at once", "high", "low", "low again", "first", "second"]
    assert jobs[0].last_in_first_out


async def test_due_times_to_the_millisecond(
    old: NodeLibrary, source: Source, wire: Connection, namespace: str
) -> None:
    for delay in (86_400_000, 3_600_001, 7_200_000):
        old.add("q", f"in {delay}", {}, delay=delay)
    jobs = await read(source, "q", [FoundState.DELAYED])
    assert [job.name for job in jobs] == ["in 3600001", "in 7200000", "in 86400000"]
    for job in jobs:
        written: Any = wire.call("HMGET", f"{namespace}:q:{job.source_id}", "timestamp", "delay")
        assert job.due_ms == int(written[0]) + int(written[1])


async def test_failed_and_retrying_jobs(old: NodeLibrary, source: Source, library: str) -> None:
    old.add("q", "dead", {"plan": {"fail": 9, "log": ["one", "two"], "progress": 40}}, attempts=2)
    old.add("q", "again", {"plan": {"fail": 9}}, attempts=3, backoff={"type": "fixed", "delay": 60_000})
    old.add("q", "done", {})
    old.work("q", 4)
    jobs = _named(await read(source, "q"))
    dead = jobs["dead"]
    assert (dead.state, dead.attempts_made, dead.attempts_allowed) == (FoundState.FAILED, 2, 2)
    assert dead.reasons == ("planned failure 1", "planned failure 2")
    assert json.loads(dead.progress) == 40
    assert dead.finished_ms is not None
    assert await source.logs(dead) == ["one", "two"] * 2
    assert jobs["done"].state is FoundState.COMPLETED
    again = jobs["again"]
    if library == "bull3":  # leaves the lock until it runs out
        assert again.state is FoundState.ACTIVE
        assert await take(source, "q", [again]) == [None]
        return
    assert again.state is FoundState.RETRYING
    assert again.attempts_made == 1
    assert again.reasons == ("planned failure 1",)
    assert again.due_ms is not None
    assert 50_000 < again.due_ms - await source.now_ms() <= 60_000


async def test_a_paused_queue(old: NodeLibrary, source: Source) -> None:
    old.add("q", "before", {})
    old.call("pause", queue="q")
    old.add("q", "after", {})
    counts = await source.counts("q")
    assert counts[FoundState.PAUSED] == 2
    jobs = await read(source, "q", [FoundState.PAUSED])
    assert [job.name for job in jobs] == ["before", "after"]
    taken = await take(source, "q", jobs)
    assert None not in taken
    assert await revert_all(source, "q") == 2
    old.call("resume", queue="q")
    old.work("q", 2)
    assert (await source.counts("q"))[FoundState.COMPLETED] == 2


async def test_what_was_taken_and_put_back_is_as_before(
    old: NodeLibrary, source: Source, library: str, wire: Connection, namespace: str
) -> None:
    """Every key, list and score; and the library runs each once."""
    old.add("q", "dead", {"plan": {"fail": 1, "log": ["line"]}}, **dedup(library, "dead"))
    old.work("q", 1)
    for number in range(3):
        old.add("q", f"plain {number}", {"n": number})
        old.add("q", f"priority {number}", {"n": number}, priority=5 - number)
        old.add("q", f"delayed {number}", {"n": number}, delay=60_000, attempts=4)
        old.add("q", f"once {number}", {"n": number}, **dedup(library, f"d{number}"))
    old.add("q", "lifo", {}, lifo=True)
    before = everything(wire, namespace)
    jobs = await read(source, "q")
    assert len(jobs) == 14
    assert None not in await take(source, "q", jobs)
    assert await read(source, "q") == []
    left = everything(wire, namespace)
    assert [key for key in left if key.rpartition(":")[2] not in {"meta", "meta-paused"}] == []
    assert await revert_all(source, "q") == 14
    assert everything(wire, namespace) == before
    old.work("q", 10)
    assert (await source.counts("q"))[FoundState.COMPLETED] == 10


async def test_nothing_of_a_job_is_taken_twice(
    old: NodeLibrary, source: Source, library: str, redis_url: str, namespace: str
) -> None:
    old.add("q", "a", {})
    (job,) = await read(source, "q")
    other = source_of(library, redis_url, namespace)
    await other.open()
    (mine,) = await take(source, "q", [job])
    assert mine is not None
    assert await take(source, "q", [job]) == [mine]  # its answer was lost
    assert await take(other, "q", [job]) == [None]
    back = Back(mine.entry_id, job.source_id, Status.REFUSED, "no task")
    assert await other.put_back("q", [back]) == [False]
    assert await source.put_back("q", [back]) == [True]
    (entry,) = (await source.entries("q")).entries
    assert (entry.status, entry.note, entry.lives, entry.name) == (Status.REFUSED, "no task", 1, "a")
    (again,) = await take(other, "q", await read(source, "q"))
    assert again is not None
    assert again.lives == 1
    await other.mark("q", [again.entry_id], ["sent"])
    assert (await source.entries("q", status=Status.TAKEN)).entries == ()
    assert await source.put_back("q", [Back(again.entry_id, job.source_id, Status.REFUSED, "")]) == [False]
    assert await source.put_back("q", [Back(again.entry_id, job.source_id, Status.REVERTED, "")]) == [True]
    await other.close()


async def test_a_job_that_changed_since_it_was_read_stays(
    old: NodeLibrary, source: Source, wire: Connection, namespace: str
) -> None:
    for name in ("data", "gone", "locked", "moved"):
        old.add("q", name, {"n": 1}, **({"delay": 60_000} if name == "moved" else {}))
    jobs = _named(await read(source, "q"))
    wire.call("HSET", f"{namespace}:q:{jobs['data'].source_id}", "data", '{"n":2}')
    wire.call("SET", f"{namespace}:q:{jobs['locked'].source_id}:lock", "token")
    wire.call("ZINCRBY", f"{namespace}:q:delayed", "4096", jobs["moved"].source_id)
    old.call("remove", queue="q", id=jobs["gone"].source_id)
    assert await take(source, "q", list(jobs.values())) == [None] * 4
    assert (await source.entries("q")).entries == ()


async def test_its_id_may_be_in_use_again(old: NodeLibrary, source: Source) -> None:
    old.add("q", "first", {}, jobId="mine")
    (job,) = await read(source, "q")
    (taken,) = await take(source, "q", [job])
    assert taken is not None
    await source.mark("q", [taken.entry_id], [""])
    old.add("q", "second", {}, jobId="mine")
    assert await source.put_back("q", [Back(taken.entry_id, "mine", Status.REVERTED, "")]) == [False]
    assert [found.name for found in await read(source, "q")] == ["second"]


async def test_running_jobs_are_left_alone(
    old: NodeLibrary, source: Source, library: str, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    old.add("q", "long", {"plan": {"ms": 1500}})
    ledger = tmp_path / "ran"
    process = worker(library, redis_url, namespace, "q", ledger)
    process.start()
    try:
        wait_for_lines(ledger, 1)
        (job,) = await read(source, "q")
        assert job.state is FoundState.ACTIVE
        assert await take(source, "q", [job]) == [None]
    finally:
        process.kill()


async def test_a_woken_worker_runs_what_comes_back(
    old: NodeLibrary, source: Source, library: str, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """It was idle when the jobs came back, and nobody adds another."""
    old.add("q", "plain", {})
    old.add("q", "soon", {}, delay=3000)
    if is_bullmq(library):
        old.add("q", "priority", {}, priority=3)
    jobs = await read(source, "q")
    assert None not in await take(source, "q", jobs)
    ledger = tmp_path / "ran"
    process = worker(library, redis_url, namespace, "q", ledger)
    process.start()
    try:
        old.add("other", "x", {})  # gives the worker the time to become idle
        old.work("other", 1)
        assert ledger_lines(ledger) == []
        assert await revert_all(source, "q") == len(jobs)
        lines = wait_for_lines(ledger, len(jobs), 15)
    finally:
        process.kill()
    assert Counter(line["name"] for line in lines) == Counter(job.name for job in jobs)


async def test_deduplication_goes_with_the_job(old: NodeLibrary, source: Source, library: str) -> None:
    """What waits for the end of a job waits no longer; what lasts for a time lasts for it."""
    if library == "bull3":
        pytest.skip("Bull 3 knows no debounce")
    old.add("q", "simple", {}, **dedup(library, "simple"))
    old.add("q", "throttled", {}, **dedup(library, "throttled", ttl=60_000))
    assert None not in await take(source, "q", await read(source, "q"))
    old.add("q", "simple again", {}, **dedup(library, "simple"))
    old.add("q", "throttled again", {}, **dedup(library, "throttled", ttl=60_000))
    assert [job.name for job in await read(source, "q")] == ["simple again"]


async def test_a_debounced_job_that_is_gone_holds_nobody_up(
    old: NodeLibrary, source: Source, library: str
) -> None:
    if not is_bullmq(library):
        pytest.skip("only BullMQ replaces a delayed job")
    debounce = {"deduplication": {"id": "d", "ttl": 60_000, "extend": True, "replace": True}, "delay": 60_000}
    old.add("q", "first", {}, **debounce)
    jobs = await read(source, "q")
    assert jobs[0].dedup == Dedup("d", 60_000, replace=True)
    assert None not in await take(source, "q", jobs)
    old.add("q", "second", {}, **debounce)
    assert [job.name for job in await read(source, "q")] == ["second"]


async def test_flows(old: NodeLibrary, source: Source, library: str) -> None:
    if not is_bullmq(library):
        pytest.skip("Bull has no flows")
    children = [
        {"name": "near", "queueName": "q", "data": {"n": 1}},
        {"name": "far", "queueName": "other", "data": {"n": 2}},
    ]
    old.call("flow", tree={"name": "parent", "queueName": "q", "data": {}, "children": children})
    here, there = _named(await read(source, "q")), _named(await read(source, "other"))
    parent = here["parent"]
    assert parent.state is FoundState.PARENT
    assert len(parent.children) == 2
    assert here["near"].parent == parent.source_id
    assert there["far"].parent == f"q:{parent.source_id}"
    assert await take(source, "q", [parent]) == [None]
    # Its children may be taken, and put back: then the flow goes on as if nothing had been.
    assert None not in await take(source, "q", [here["near"]])
    assert await revert_all(source, "q") == 1
    old.work("q", 1)
    old.work("other", 1)
    (ready,) = await read(source, "q", [FoundState.WAITING])
    assert "children have ended" in ready.refusal
    assert await take(source, "q", [ready]) == [None]
    old.work("q", 1)


def _schedules(found: list[FoundSchedule]) -> dict[str, FoundSchedule]:
    return {one.name: one for one in found}


async def test_schedules_are_read(old: NodeLibrary, source: Source, library: str) -> None:
    zone = {"tz": "Europe/Berlin"}
    old.call("schedule", queue="q", id="nightly", repeat=cron(library, "0 3 * * *", **zone), name="night", data={"c": 1},
             opts={"attempts": 4, "backoff": {"type": "exponential", "delay": 10}})  # fmt: skip
    old.call(
        "schedule",
        queue="q",
        id="hourly",
        repeat={"every": 3_600_000, "limit": 5},
        name="hour",
        data={},
        opts={},
    )
    old.call(
        "schedule", queue="q", id="in:utc", repeat=cron(library, "*/5 * * * *"), name="five", data={}, opts={}
    )
    if library == "bullmq5":
        old.call("repeat", queue="q", name="older", data={"c": 2}, opts={"repeat": {"pattern": "0 0 1 1 *"}})
    found = _schedules(await source.repeatables("q"))
    assert {one.refusal for one in found.values()} == {""}
    night = found["night"]
    assert (night.cron, night.timezone, night.args) == ("0 3 * * *", "Europe/Berlin", ({"c": 1},))
    assert (night.attempts_allowed, night.back_off) == (4, BackOff("exponential", 10))
    now_ms = await source.now_ms()
    for one in found.values():
        assert one.next_ms is not None
        assert one.next_ms > now_ms
    hour = found["hour"]
    assert (hour.every_ms, hour.limit) == (3_600_000, 5)
    assert hour.next_ms is not None
    assert hour.next_ms % hour.every_ms == hour.offset_ms
    assert found["five"].next_ms is not None
    assert found["five"].next_ms % 300_000 == 0
    if library == "bullmq5":
        assert found["older"].args == ({"c": 2},)
    # Their jobs go with them, and not alone.
    jobs = [job for job in await read(source, "q") if job.schedule]
    assert len(jobs) == len(found)
    assert await take(source, "q", jobs) == [None] * len(jobs)


async def test_schedules_are_taken_and_put_back(
    old: NodeLibrary, source: Source, library: str, wire: Connection, namespace: str
) -> None:
    old.call(
        "schedule",
        queue="q",
        id="s",
        repeat=cron(library, "0 3 * * *", tz="UTC"),
        name="night",
        data={"c": 1},
        opts={},
    )
    before = everything(wire, namespace)
    (one,) = await source.repeatables("q")
    assert await take_schedule(source, one) is not None
    assert await source.repeatables("q") == []
    assert await read(source, "q") == []
    assert old.call("schedulers", queue="q") == []
    assert await revert_all(source, "q") == 1
    assert everything(wire, namespace) == before
    (shown,) = old.call("schedulers", queue="q")
    assert shown["next"] == one.next_ms


async def test_a_schedule_that_comes_back_later_fires_at_its_new_time(
    old: NodeLibrary, source: Source, library: str, tmp_path: Path
) -> None:
    """The library itself goes on with it: the job of that time, and the next ones."""
    old.call("schedule", queue="q", id="s", repeat={"every": 1000}, name="tick", data={"c": 1}, opts={})
    if is_bullmq(library):  # fires at once
        old.work("q", 1)
    (one,) = await source.repeatables("q")
    taken = await take_schedule(source, one)
    assert taken is not None
    next_ms = (await source.now_ms()) // 1000 * 1000 + 2000 + one.offset_ms
    back = Back(taken.entry_id, one.source_id, Status.REVERTED, "")
    assert await source.put_back_repeatable("q", back, next_ms=next_ms)
    ledger = tmp_path / "ran"
    old.work("q", 3, ledger)
    lines = ledger_lines(ledger)
    assert [line["name"] for line in lines[:3]] == ["tick"] * 3
    assert lines[0]["data"] == {"c": 1}
    assert lines[0]["at"] >= next_ms
    assert [int(line["id"].rpartition(":")[2]) - next_ms for line in lines[:3]] == [0, 1000, 2000]


async def test_a_due_job_of_a_schedule_stays_when_the_schedule_goes(
    old: NodeLibrary, source: Source, library: str
) -> None:
    """It runs once in the old system, and makes no further one."""
    if not is_bullmq(library):
        pytest.skip("only BullMQ makes the first job of an interval at once")
    old.call("schedule", queue="q", id="s", repeat={"every": 60_000}, name="tick", data={}, opts={})
    (one,) = await source.repeatables("q")
    (job,) = await read(source, "q")
    assert (job.state, job.schedule) == (FoundState.WAITING, "s")
    assert one.next_ms == int(job.source_id.rpartition(":")[2]) + 60_000
    assert await take_schedule(source, one) is not None
    (job,) = await read(source, "q")
    assert job.schedule == ""
    old.work("q", 1)
    assert await source.repeatables("q") == []
    counts = await source.counts("q")
    assert counts[FoundState.DELAYED] == 0
    assert counts[FoundState.COMPLETED] == 1


async def test_a_schedule_that_a_producer_adds_again_is_taken_again(
    old: NodeLibrary, source: Source, library: str
) -> None:
    call: dict[str, Any] = {
        "queue": "q", "id": "s", "repeat": cron(library, "0 3 * * *"), "name": "night", "data": {}, "opts": {},
    }  # fmt: skip
    old.call("schedule", **call)
    (one,) = await source.repeatables("q")
    taken = await take_schedule(source, one)
    assert taken is not None
    await source.mark("q", [taken.entry_id], [""])
    old.call("schedule", **call)
    (one,) = await source.repeatables("q")
    again = await take_schedule(source, one)
    assert again is not None
    assert again.entry_id == taken.entry_id
    assert await source.repeatables("q") == []
    assert await read(source, "q") == []


async def test_a_pattern_in_the_time_of_some_machine_is_refused(
    source: Source, library: str, redis_url: str, namespace: str
) -> None:
    """Nobody can tell which zone that machine is set to."""
    with NodeLibrary(library, redis_url, namespace, timezone="Asia/Tokyo") as abroad:
        abroad.call(
            "schedule", queue="q", id="s", repeat=cron(library, "0 3 * * *"), name="night", data={}, opts={}
        )
    (one,) = await source.repeatables("q")
    assert "no time zone" in one.refusal
