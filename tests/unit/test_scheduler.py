"""Fire times become jobs: what one schedule meets is nothing to the others."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headway import Headway, Unique
from headway.brokers.base import ScheduleRecord
from headway.cli.doctor.finding import Level
from headway.cli.doctor.schedules import check_schedules, schedule_facts
from headway.clock import SystemClock
from headway.errors import BrokerUnavailableError
from headway.job import Fire
from headway.runtime.scheduler import Scheduler
from headway.schedules.schedule import Every, ScheduleError
from headway.service import Remarks
from headway.testing import FakeClock, inline

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.testing import Inline

_LOG = logging.getLogger("headway.test")
HOUR = 3_600_000
DAY = 24 * HOUR


class Hostile(Exception):  # noqa: N818 - only an example
    def __str__(self) -> str:
        raise SystemExit(3)


def by_raising(error: Callable[[], BaseException]) -> Unique:
    """Make a key at the declaration, where a schedule is tried once, and none afterwards."""
    made: list[str] = []

    def key() -> str:
        if made:
            raise error()
        made.append("key")
        return "key"

    return Unique(by=key)


BROKEN: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("no key"),
    "SystemExit": lambda: SystemExit(3),
    "Hostile": Hostile,
    "CancelledError": asyncio.CancelledError,
    "RecursionError": lambda: RecursionError("deep"),
}


def make(unique: Any) -> Headway:
    app = Headway("shop", url="sqlite:///unused.db")

    @app.every(timedelta(hours=1), name="a broken one")
    @app.task(name="broken", unique=unique)
    async def broken() -> None: ...

    @app.every(timedelta(hours=1), name="b good one")
    @app.task(name="good")
    async def good() -> None: ...

    return app


async def fired(box: Inline) -> list[str]:
    return [job.task for job in await box.jobs()]


@pytest.mark.parametrize("name", BROKEN)
async def test_a_schedule_whose_job_cannot_be_made_keeps_no_other_from_firing(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = make(by_raising(BROKEN[name]))
    async with inline(app) as box:
        remarks = Remarks(_LOG, "worker x")
        scheduler = Scheduler(app, remarks)
        await scheduler.declare()
        for hours in range(1, 4):
            box.clock.advance(HOUR)
            looked = await scheduler.look()
            assert list(looked.errors) == ["a broken one"]
            assert looked.pause <= 10.1  # looked at again soon
            assert await fired(box) == ["good"] * hours
        assert remarks.count == 3
        assert list(remarks.present) == ["schedule 'a broken one'"]
    named = [record for record in caplog.records if "a broken one" in record.getMessage()]
    assert len(named) == 1
    assert named[0].levelno == logging.ERROR


async def test_what_it_missed_fires_once_its_job_can_be_made_again() -> None:
    healthy = True

    def key() -> str:
        if not healthy:
            msg = "not yet"
            raise ValueError(msg)
        return "key"

    app = make(Unique(by=key))
    healthy = False
    async with inline(app) as box:
        box.clock.advance(HOUR)
        with pytest.raises(ValueError, match="not yet") as raised:
            await box.fire_schedules()
        assert "raised by schedule 'a broken one'" in raised.value.__notes__
        assert await fired(box) == ["good"]
        healthy = True
        assert await box.fire_schedules() == 1
        assert await fired(box) == ["good", "broken"]


async def test_an_interval_past_the_calendar_is_refused_where_it_is_written() -> None:
    for days in (3_000_000, 999_999_999):
        with pytest.raises(ScheduleError, match="interval must be at most 1000 years"):
            Every(timedelta(days=days))
    Every(timedelta(days=365_000))


async def test_an_unreachable_carrier_concerns_all() -> None:
    app = make(None)
    async with inline(app) as box:
        scheduler = Scheduler(app, Remarks(_LOG, "worker x"))
        await scheduler.declare()
        box.clock.advance(HOUR)
        box.faults.fail_next("enqueue")
        with pytest.raises(BrokerUnavailableError):
            await scheduler.look()
        await scheduler.look()
        assert await fired(box) == ["broken", "good"]


async def test_a_carrier_that_was_emptied_is_told_anew(caplog: pytest.LogCaptureFixture) -> None:
    """What came due after the last look fires; what had fired does not again."""
    app = make(None)
    async with inline(app) as box:
        scheduler = Scheduler(app, Remarks(_LOG, "worker x"))
        box.clock.advance(HOUR)
        looked = await scheduler.look()
        assert looked.pause <= 60  # an emptied carrier is noticed within a minute
        before = await fired(box)
        await scheduler.look()
        await app.carrier.declare_schedules([])
        looked = await scheduler.look()
        assert sorted(record.name for record in await app.carrier.schedules()) == [
            "a broken one",
            "b good one",
        ]
        assert await fired(box) == before
        await app.carrier.declare_schedules([])
        box.clock.advance(HOUR)
        await scheduler.look()
        assert len(await fired(box)) == len(before) + 2
    assert caplog.text.count("declared anew") == 2


async def test_a_schedule_that_another_version_took_away_is_named_and_stays_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = make(None)
    async with inline(app) as box:
        scheduler = Scheduler(app, Remarks(_LOG, "worker x"))
        await scheduler.look()
        await app.carrier.declare_schedules(
            [ScheduleRecord("b good one", "every 1:00:00", "good", declared_ms=box.clock.now_ms())]
        )
        for _ in range(2):
            box.clock.advance(HOUR)
            await scheduler.look()
        assert await fired(box) == ["good", "good"]
    assert caplog.text.count("schedule 'a broken one': not known to the carrier") == 1


class Jumping(FakeClock):
    def set(self, now_ms: int) -> None:
        self._now_ms = now_ms


@pytest.mark.parametrize("what", ["fired", "declared", "paused"])
async def test_a_clock_that_was_a_day_ahead_silences_no_schedule(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The carrier's own clock, as on one machine with a file: for five seconds it is tomorrow."""
    app = make(None)
    clock = Jumping()
    start = clock.now_ms() // HOUR * HOUR + HOUR // 2
    clock.set(start)
    async with inline(app, clock=clock) as box:
        clock.set(start + DAY)
        ahead = Scheduler(app, Remarks(_LOG, "ahead"))
        if what == "declared":
            await app.carrier.declare_schedules([])
            await ahead.look()
        else:
            await app.carrier.pause_schedule("a broken one", paused=what == "paused")
            await ahead.look()
            await app.carrier.pause_schedule("a broken one", paused=False)
        clock.set(start + 5000)
        before = len(await fired(box))
        scheduler = Scheduler(app, Remarks(_LOG, "worker x"))
        await scheduler.look()
        for hour in range(1, 4):
            clock.set(start + hour * HOUR)
            await scheduler.look()
        assert (await fired(box))[before:] == ["broken", "good"] * 3
    assert "lies in the future" in caplog.text


async def test_a_host_whose_clock_is_ahead_fires_when_the_carriers_time_has_come() -> None:
    app = make(None)
    async with inline(app) as box:
        scheduler = Scheduler(app, Remarks(_LOG, "worker x"))
        await scheduler.look()
        known = await app.carrier.schedules()
        far = (known[0].declared_ms // HOUR + 24) * HOUR
        with pytest.raises(Exception, match="future of the carrier's clock"):
            await app.carrier.enqueue([app.schedules["b good one"].job_at(far)])
        await app.carrier.skip_fire(Fire("b good one", far))
        box.clock.advance(HOUR)
        await scheduler.look()
        assert await fired(box) == ["broken", "good"]


async def test_the_doctor_names_schedules_that_do_not_fire() -> None:
    clock = Jumping()
    clock.set(SystemClock().now_ms())
    app = make(by_raising(lambda: ValueError("no key")))
    async with inline(app, clock=clock):
        facts = await schedule_facts(app, app.carrier)
        assert facts.broken == ("a broken one (ValueError: no key)",)
        assert check_schedules(facts).level is Level.ERROR
        healthy = make(None)
        facts = await schedule_facts(healthy, app.carrier)
        assert check_schedules(facts).level is Level.OK
        clock.set(clock.now_ms() + DAY)
        await app.carrier.skip_fire(Fire("b good one", clock.now_ms()))
        facts = await schedule_facts(healthy, app.carrier)
        assert facts.ahead == ("b good one",)
        assert check_schedules(facts).level is Level.WARN
        await app.carrier.declare_schedules([])
        facts = await schedule_facts(healthy, app.carrier)
        assert facts.unknown == ("a broken one", "b good one")
        assert check_schedules(facts).level is Level.WARN
        assert check_schedules(await schedule_facts(None, app.carrier)).level is Level.OK
