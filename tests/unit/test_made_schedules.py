"""Schedules made at run time, by the app that makes them and by the loop that fires them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from headway import CatchUp, Headway, Unique
from headway.brokers.base import MadeSchedule
from headway.cli.doctor.finding import Level
from headway.cli.doctor.schedules import check_schedules, schedule_facts
from headway.clock import from_ms
from headway.errors import (
    ArgumentsError,
    BrokerUnavailableError,
    CodecError,
    DeclarationError,
    HeadwayError,
    PayloadTooLargeError,
    ScheduleConflictError,
    ScheduleNotFoundError,
    UnknownTaskError,
    UnsupportedError,
)
from headway.runtime.made import LOOK, MadeScheduler
from headway.schedules.made import decode_definition, encode_definition
from headway.service import Remarks
from headway.testing import FakeClock, inline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.testing import Inline

_LOG = logging.getLogger("headway.test")
HOUR = 3_600_000
DAY = 24 * HOUR


class Jumping(FakeClock):
    def set(self, now_ms: int) -> None:
        self._now_ms = now_ms


def make() -> Headway:
    app = Headway("shop", url="sqlite:///unused.db")

    @app.every(timedelta(hours=1), name="in-code")
    @app.task(name="tick")
    async def tick() -> None: ...

    @app.task(name="report", priority=3, tags=["reports"])
    async def report(tenant: int, *, since: datetime | None = None) -> None: ...

    return app


@pytest.fixture
async def box() -> AsyncIterator[Inline]:
    clock = Jumping()
    clock.set(1_800_000_000_000 // HOUR * HOUR + HOUR // 2)
    async with inline(make(), clock=clock) as made:
        yield made


def job(box: Inline, *args: Any, **kwargs: Any) -> Any:
    return box.app.find_task("report").job(*args, **kwargs)


async def calls(box: Inline) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    await box.fire_schedules()
    found = await box.app.jobs.list(task="report")
    return [(one.queue, one.args, one.kwargs) for one in found.jobs]


async def test_arguments_and_options_arrive_as_they_were_given(box: Inline) -> None:
    call = box.app.find_task("report").options(
        queue="slow", priority=7, headers={"tenant": "7"}, timeout="5m", expires="1d"
    )
    since = datetime(2026, 1, 1, tzinfo=UTC)
    made = await box.app.schedules.create("seven", call.job(7, since=since), cron="0 * * * *", catch_up="all")
    assert (made.args, made.kwargs, made.queue, made.priority) == ((7,), {"since": since}, "slow", 7)
    assert (made.made, made.known, made.catch_up, made.problem) == (True, True, CatchUp.ALL, "")
    box.clock.advance(HOUR)
    assert await calls(box) == [("slow", (7,), {"since": since})]
    [one] = (await box.app.jobs.list(task="report")).jobs
    assert (one.priority, one.headers) == (7, {"tenant": "7"})
    assert one.expires_at == from_ms(box.clock.now_ms() + DAY)


async def test_what_the_call_does_not_say_is_the_tasks_at_the_fire_time(box: Inline) -> None:
    await box.app.schedules.create("one", job(box, 1), every="1h")
    task = box.app.find_task("report")
    task.options_declared = replace(task.options_declared, queue="moved")
    box.clock.advance(HOUR)
    assert await calls(box) == [("moved", (1,), {})]


async def test_a_list_has_those_of_the_code_too(box: Inline) -> None:
    app = box.app
    assert dict(app.schedules.items()).keys() == {"in-code"}
    await app.schedules.create("a", job(box, 1), every="1h", paused=True)
    first, second = await app.schedules.list()
    assert (first.name, first.made, first.paused, first.next_fire) == ("a", True, True, None)
    assert (second.name, second.made, second.spec) == ("in-code", False, "every 1:00:00")
    assert await app.schedules.find("in-code") == second
    assert await app.schedules.find("none") is None


async def test_put_repeated_changes_nothing(box: Inline) -> None:
    """As a deployment, or a migration that is resumed, repeats it."""
    app = box.app
    first = from_ms(box.clock.now_ms() + HOUR)
    await app.schedules.put("a", job(box, 1), every="1h", first_fire=first)
    [before] = await app.carrier.made_schedules()
    box.clock.advance(2 * HOUR)
    await app.schedules.put("a", job(box, 1), every="1h", first_fire=first)
    assert await app.carrier.made_schedules() == [before]
    assert await box.fire_schedules() == 2  # one of them of the code
    await app.schedules.pause("a")
    made = await app.schedules.put("a", job(box, 2), every="1h", first_fire=first)
    assert (made.paused, made.args) == (True, (2,))


async def test_a_first_fire_that_passed_while_it_was_brought_along_is_still_to_come(box: Inline) -> None:
    passed = from_ms(box.clock.now_ms() - 4_321)
    made = await box.app.schedules.put("a", job(box, 1), every="1h", first_fire=passed)
    assert made.next_fire == passed + timedelta(hours=1)
    assert len(await calls(box)) == 1
    [kept] = await box.app.carrier.made_schedules()
    assert from_ms(kept.last_fire_ms or 0) == passed
    box.clock.advance(HOUR)
    assert len(await calls(box)) == 2


async def test_it_ends_at_until(box: Inline) -> None:
    now = from_ms(box.clock.now_ms())
    await box.app.schedules.create("a", job(box, 1), every="1h", until=now + timedelta(hours=2))
    for _ in range(5):
        box.clock.advance(HOUR)
        await box.fire_schedules()
    assert len(await calls(box)) == 2
    found = await box.app.schedules.find("a")
    assert found is not None
    assert found.next_fire is None


async def test_new_times_owe_nothing_for_the_time_before_and_new_arguments_do(box: Inline) -> None:
    app = box.app
    await app.schedules.create("times", job(box, 1), every="1h")
    await app.schedules.create("arguments", job(box, 2), every="1h")
    box.clock.advance(HOUR)
    changed = await app.schedules.change("times", cron="15 * * * *", timezone="Asia/Kolkata")
    assert changed.spec == "15 * * * * (Asia/Kolkata)"
    await app.schedules.change("arguments", job=job(box, 3), catch_up="skip")
    await app.schedules.change("arguments", catch_up=CatchUp.ALL)
    assert [args for _, args, _ in await calls(box)] == [(3,)]


@pytest.mark.parametrize(
    ("times", "error", "said"),
    [
        ({}, ArgumentsError, "give either cron"),
        ({"cron": "0 3 * * *", "every": "5m"}, ArgumentsError, "give either cron"),
        ({"cron": "0 3 * *"}, HeadwayError, "has 4 fields"),
        ({"cron": "0 3 * * *", "timezone": "Mars/Olympus"}, HeadwayError, "time zone 'Mars/Olympus'"),
        ({"every": "5m", "timezone": "UTC"}, ArgumentsError, "timezone goes with cron"),
        ({"every": 5}, DeclarationError, "interval must be"),
        ({"every": "500ms"}, HeadwayError, "whole number of seconds"),
        ({"every": "1h", "first_fire": datetime(2030, 1, 1)}, ArgumentsError, "first_fire"),  # noqa: DTZ001 - refused
        ({"every": "1h", "first_fire": "tomorrow"}, ArgumentsError, "first_fire must be an aware datetime"),
        ({"every": "1h", "until": datetime(2020, 1, 1, tzinfo=UTC)}, ArgumentsError, "until must be in"),
        ({"every": "1h", "catch_up": "some"}, DeclarationError, "catch_up must be one of"),
        ({"interval": "1h"}, ArgumentsError, "unknown options interval"),
    ],
)
async def test_wrong_times_are_refused(
    box: Inline, times: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        await box.app.schedules.create("a", job(box, 1), **times)
    assert await box.app.carrier.made_schedules() == []


async def test_what_no_job_of_a_schedule_can_have_is_refused(box: Inline) -> None:
    task, create = box.app.find_task("report"), box.app.schedules.create
    wrong_options: list[tuple[dict[str, Any], str]] = [
        ({"delay": "5m"}, "delay"),
        ({"at": datetime(2030, 1, 1, tzinfo=UTC)}, "at"),
        ({"key": "k"}, "key"),
        ({"unique": Unique()}, "unique"),
    ]
    for options, said in wrong_options:
        with pytest.raises(ArgumentsError, match=rf"schedule: {said} of a single job"):
            await create("a", task.options(**options).job(1), every="1h")
    wrong: Any = task
    with pytest.raises(ArgumentsError, match=r"give a job, made by task.job"):
        await create("a", wrong, every="1h")
    with pytest.raises(ArgumentsError, match="argument 'tenant'"):
        await create("a", task.job("seven"), every="1h")
    with pytest.raises(DeclarationError, match="schedule name 'a,b'"):
        await create("a,b", task.job(1), every="1h")
    with pytest.raises(PayloadTooLargeError, match=r"schedule 'a' has 70\d\d\d bytes"):
        await create("a", task.options(headers={"x": "y" * 70_000}).job(1), every="1h")


async def test_what_the_carrier_cannot_do_is_refused_when_it_is_made(
    box: Inline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at each fire time."""

    def check(_: object) -> None:
        msg = "the carrier has no unique jobs"
        raise UnsupportedError(msg)

    monkeypatch.setattr(Headway, "check", lambda _, given: check(given))
    with pytest.raises(UnsupportedError):
        await box.app.schedules.create("a", job(box, 1), every="1h")
    assert await box.app.carrier.made_schedules() == []


async def test_names_in_code_and_at_run_time_do_not_collide(
    box: Inline, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a deployment adds to the code what was made before, the code fires, and the other is named once."""
    app = box.app
    with pytest.raises(ScheduleConflictError, match="'in-code' stands in the code of this app"):
        await app.schedules.create("in-code", job(box, 1), every="1h")
    for act in (app.schedules.change("in-code", catch_up="all"), app.schedules.delete("in-code")):
        with pytest.raises(HeadwayError, match="code"):
            await act
    [record] = await app.carrier.schedules()
    await app.schedules.create("later", job(box, 1), every="1h")
    await app.carrier.declare_schedules([record, replace(record, name="later")])
    with pytest.raises(ScheduleConflictError, match="another version of it"):
        await app.schedules.put("later", job(box, 1), every="1h")
    app._declared.schedules["later"] = replace(app.schedules["in-code"], name="later")
    scheduler = MadeScheduler(app, Remarks(_LOG, "worker x"))
    for _ in range(3):
        box.clock.advance(HOUR)
        await scheduler.look()
    assert await app.jobs.list(task="report") == await app.jobs.list(task="report", queue="none")
    assert caplog.text.count("stands in the code too") == 1
    assert [one.problem for one in await app.schedules.list() if one.made] == [
        "the code has a schedule of this name, which is the one that fires"
    ]


async def test_a_task_that_is_not_known_here_is_named_once_and_keeps_no_other_from_firing(
    box: Inline, caplog: pytest.LogCaptureFixture
) -> None:
    """Another worker may know it, or the next version: then what is owed is made up for."""
    app = box.app
    await app.schedules.create("a unknown", job(box, 1), every="1h")
    await app.schedules.create("b known", app.find_task("tick").job(), every="1h")
    report = app._declared.known.pop("report")
    scheduler = MadeScheduler(app, Remarks(_LOG, "worker x"))
    for hours in range(1, 4):
        box.clock.advance(HOUR)
        looked = await scheduler.look()
        assert list(looked.errors) == ["a unknown"]
        assert isinstance(looked.errors["a unknown"], UnknownTaskError)
        assert looked.pause <= LOOK + 0.1
        assert len((await app.jobs.list(task="tick")).jobs) == hours
    assert caplog.text.count("schedule 'a unknown', made at run time: has made no job") == 1
    assert "Traceback" not in caplog.text
    assert "app 'shop' has no task 'report'" in str([one.problem for one in await app.schedules.list()])
    app._declared.known["report"] = report
    assert (await scheduler.look()).errors == {}
    assert len((await app.jobs.list(task="report")).jobs) == 1


async def test_arguments_that_fit_no_more_are_named_once(
    box: Inline, caplog: pytest.LogCaptureFixture
) -> None:
    app = box.app
    await app.schedules.create("a", job(box, 1), every="1h")
    [kept] = await app.carrier.made_schedules()
    definition = replace(decode_definition(kept.body), task="tick")
    for name, body in (("b", encode_definition(definition)), ("c", b"\x00damaged")):
        await app.carrier.write_schedule(MadeSchedule(name, 1, body), expected=0)
    scheduler = MadeScheduler(app, Remarks(_LOG, "worker x"))
    for _ in range(3):
        box.clock.advance(HOUR)
        assert sorted((await scheduler.look()).errors) == ["b", "c"]
    assert len((await app.jobs.list(task="report")).jobs) == 3
    assert caplog.text.count("has made no job") == 2
    assert [(one.name, bool(one.problem)) for one in await app.schedules.list() if one.made] == [
        ("a", False),
        ("b", True),
        ("c", True),
    ]
    with pytest.raises(CodecError, match=r"schedule 'c'.*delete it, or put another"):
        await app.schedules.change("c", every="5m")
    assert await app.schedules.delete("c")
    await app.schedules.put("b", job(box, 1), every="1h")
    assert (await scheduler.look()).errors == {}


async def test_one_job_that_the_carrier_refuses_keeps_no_other_from_being_made(box: Inline) -> None:
    app = box.app
    for name in "abc":
        await app.schedules.create(name, job(box, 1), every="1h")
    scheduler = MadeScheduler(app, Remarks(_LOG, "worker x"))
    box.clock.advance(HOUR)
    box.faults.fail_next(
        "enqueue", times=2, error=RuntimeError("a defect")
    )  # all in one, then the first alone
    assert list((await scheduler.look()).errors) == ["a"]
    assert len((await app.jobs.list(task="report")).jobs) == 2
    assert (await scheduler.look()).errors == {}
    assert len((await app.jobs.list(task="report")).jobs) == 3
    box.clock.advance(HOUR)
    box.faults.fail_next("enqueue")
    with pytest.raises(BrokerUnavailableError):
        await scheduler.look()
    await scheduler.look()
    assert len((await app.jobs.list(task="report")).jobs) == 6


@pytest.mark.parametrize("what", ["created", "fired"])
async def test_a_clock_that_was_a_day_ahead_silences_no_schedule(
    box: Inline, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    app, clock = box.app, box.clock
    assert isinstance(clock, Jumping)
    start = clock.now_ms()
    if what == "fired":
        await app.schedules.create("a", job(box, 1), every="1h")
    clock.set(start + DAY)
    if what == "created":
        await app.schedules.create("a", job(box, 1), every="1h")
    await MadeScheduler(app, Remarks(_LOG, "ahead")).look()
    clock.set(start + 5000)
    before = len((await app.jobs.list(task="report")).jobs)
    scheduler = MadeScheduler(app, Remarks(_LOG, "worker x"))
    await scheduler.look()
    for hour in range(1, 4):
        clock.set(start + hour * HOUR)
        await scheduler.look()
    assert len((await app.jobs.list(task="report")).jobs) == before + 3
    assert "in the future of this host's clock" in caplog.text


async def test_the_doctor_names_those_that_make_no_jobs(box: Inline) -> None:
    app = box.app
    await app.schedules.create("a", job(box, 1), every="1h")
    facts = await schedule_facts(app, app.carrier)
    assert (facts.made, facts.broken) == (1, ())
    assert "1 made at run time" in check_schedules(facts).message
    await app.carrier.write_schedule(MadeSchedule("b", 1, b"\x00"), expected=0)
    facts = await schedule_facts(app, app.carrier)
    assert check_schedules(facts).level is Level.ERROR
    assert facts.broken[0].startswith("b (its stored definition is damaged")


async def test_run_makes_a_job_beside_the_fire_times(box: Inline) -> None:
    app = box.app
    await app.schedules.create("a", job(box, 5), every="1h", paused=True)
    handle = await app.schedules.run("a")
    info = await handle.record()
    assert (info.task, info.args) == ("report", (5,))
    await app.schedules.run("in-code")
    assert len((await app.jobs.list(task="tick")).jobs) == 1
    for act in (app.schedules.run, app.schedules.change):
        with pytest.raises(ScheduleNotFoundError, match="no schedule 'b' was made at run time"):
            await act("b")
    assert await app.schedules.delete("b") is False
    assert await app.schedules.pause("b") is False
    await app.schedules.delete("a")
    with pytest.raises(ScheduleNotFoundError):
        await app.schedules.run("a")


async def test_those_of_the_code_are_paused_by_the_same_call(box: Inline) -> None:
    app = box.app
    assert await app.schedules.pause("in-code")
    box.clock.advance(HOUR)
    assert await app.schedules.resume("in-code")
    assert await box.fire_schedules() == 0
    box.clock.advance(HOUR)
    assert await box.fire_schedules() == 1


def test_the_blocking_twin_does_the_same(tmp_path: Any) -> None:
    app = Headway("shop", url=f"sqlite:///{tmp_path / 'jobs.db'}")

    @app.task(name="report")
    def report(tenant: int) -> None: ...

    with app.sync as sync:
        schedules = sync.schedules
        schedules.create("a", report.job(1), every="1h")
        schedules.put("a", report.job(2), cron="0 3 * * *")
        schedules.change("a", job=report.job(3), catch_up="all")
        assert [(one.name, one.args) for one in schedules.list()] == [("a", (3,))]
        assert schedules.pause("a")
        assert schedules.resume("a")
        assert schedules.run("a").id
        found = schedules.find("a")
        assert found is not None
        assert found.spec == "0 3 * * * (UTC)"
        assert schedules.delete("a")
