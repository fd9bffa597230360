"""The call that `headway gcp apply` gives to Cloud Scheduler, as it comes in at the receiver: one job a fire time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import MadeSchedule
from headway.clock import to_ms
from headway.testing import FakeClock
from tests.integration.gcp_scheduled import THREE, Scheduled, make_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers import EmulatorServer


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(to_ms(THREE + timedelta(seconds=1)))


@pytest.fixture
async def scheduled(
    emulator: EmulatorServer, namespace: str, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Scheduled]:
    app = make_app(namespace, emulator, tmp_path, clock)
    async with app:
        yield Scheduled(app, clock)


@pytest.fixture
def asleep(scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let time pass by the clock, not for us, while the receiver sleeps; return how long it did."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        scheduled.clock.advance(timedelta(seconds=seconds))

    monkeypatch.setattr("headway.push.opened.sleep", sleep)
    return slept


async def test_the_first_call_of_a_new_schedule_makes_its_job(scheduled: Scheduled) -> None:
    assert await scheduled.call(THREE) == 200
    assert await scheduled.jobs() == 1


async def test_a_fire_time_makes_one_job_however_often_it_is_called(scheduled: Scheduled) -> None:
    await scheduled.call(THREE)
    first = await scheduled.jobs()
    scheduled.clock.advance(timedelta(hours=24))
    tomorrow = THREE + timedelta(days=1)
    for _ in range(3):
        assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == first + 1


async def test_a_run_by_hand_that_carries_the_next_time_does_not_take_its_place(scheduled: Scheduled) -> None:
    await scheduled.call(THREE)
    assert await scheduled.jobs() == 1
    scheduled.clock.advance(timedelta(hours=12))
    tomorrow = THREE + timedelta(days=1)
    assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == 2
    assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == 2, "a repeated call is the same run"
    scheduled.clock.advance(timedelta(hours=12))
    assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == 3


async def test_another_run_by_hand_is_another_job(scheduled: Scheduled) -> None:
    tomorrow = THREE + timedelta(days=1)
    await scheduled.call(tomorrow)
    scheduled.clock.advance(timedelta(minutes=5))
    await scheduled.call(tomorrow)
    assert await scheduled.jobs() == 2


# --- by hand, or at its time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [timedelta(hours=12, minutes=34, seconds=56), timedelta(seconds=2)])
async def test_a_run_by_hand_that_carries_the_time_of_execution_makes_a_job(
    scheduled: Scheduled, late: timedelta
) -> None:
    await scheduled.call(THREE)
    scheduled.set(THREE + late)
    at = scheduled.now - timedelta(milliseconds=300)
    assert await scheduled.call(at) == 200
    assert await scheduled.jobs() == 2
    scheduled.clock.advance(timedelta(minutes=2))
    assert await scheduled.call(at) == 200
    assert await scheduled.jobs() == 2, "a repeated call is the same run"
    assert await scheduled.call() == 200
    assert await scheduled.jobs() == 3
    scheduled.set(THREE + timedelta(days=1))
    assert await scheduled.call() == 200
    assert await scheduled.jobs() == 4, "the fire time is still to come"


async def test_a_run_by_hand_may_be_the_first_call_of_all(scheduled: Scheduled) -> None:
    assert await scheduled.call(THREE - timedelta(minutes=5)) == 200
    assert await scheduled.jobs() == 1
    scheduled.set(THREE + timedelta(days=1))
    await scheduled.call()
    assert await scheduled.jobs() == 2


async def test_a_late_call_under_a_time_of_its_own_makes_the_job_that_is_due_and_no_other(
    scheduled: Scheduled,
) -> None:
    await scheduled.call(THREE)
    scheduled.set(THREE + timedelta(days=1, seconds=7))
    assert await scheduled.call() == 200  # the first call of today was lost
    assert await scheduled.jobs() == 2
    assert await scheduled.call(THREE + timedelta(days=1)) == 200
    assert await scheduled.jobs() == 2


async def test_while_paused_a_run_by_hand_makes_a_job_and_a_fire_time_none(scheduled: Scheduled) -> None:
    await scheduled.call(THREE)
    assert await scheduled.app.carrier.pause_schedule("nightly", paused=True)
    scheduled.set(THREE + timedelta(days=1))
    await scheduled.call()
    assert await scheduled.jobs() == 1
    scheduled.set(THREE + timedelta(days=2, seconds=7))
    await scheduled.call()
    assert await scheduled.jobs() == 2


@pytest.mark.parametrize("header", ["", "tomorrow"])
async def test_a_call_without_a_time_only_makes_what_is_due(scheduled: Scheduled, header: str) -> None:
    await scheduled.call(THREE)
    without: dict[str, Any] = {"X-CloudScheduler-ScheduleTime": header}
    assert await scheduled.call(**without) == 200
    assert await scheduled.jobs() == 1
    scheduled.set(THREE + timedelta(days=1, seconds=7))
    for _ in range(2):
        assert await scheduled.call(**without) == 200
    assert await scheduled.jobs() == 2


@pytest.mark.parametrize("behind_ms", [1, 5_001, 17_300, 30_000])
async def test_a_receiver_whose_clock_is_behind_waits_for_the_fire_time(
    scheduled: Scheduled, asleep: list[float], behind_ms: int
) -> None:
    await scheduled.call(THREE)
    tomorrow = THREE + timedelta(days=1)
    scheduled.set(tomorrow - timedelta(milliseconds=behind_ms))
    assert await scheduled.call(tomorrow) == 200
    assert (scheduled.now, sum(asleep)) == (tomorrow, behind_ms / 1000)
    assert await scheduled.jobs() == 2
    assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == 2, "it was the fire time's, no other is made for it"


async def test_the_first_call_may_come_early_as_well(scheduled: Scheduled, asleep: list[float]) -> None:
    tomorrow = THREE + timedelta(days=1)
    scheduled.set(tomorrow - timedelta(seconds=20))
    assert await scheduled.call(tomorrow) == 200
    assert (await scheduled.jobs(), sum(asleep)) == (1, 20)


async def test_further_ahead_than_clocks_differ_it_is_a_run_by_hand(
    scheduled: Scheduled, asleep: list[float]
) -> None:
    await scheduled.call(THREE)
    tomorrow = THREE + timedelta(days=1)
    scheduled.set(tomorrow - timedelta(milliseconds=30_001))
    assert await scheduled.call(tomorrow) == 200
    assert (await scheduled.jobs(), asleep) == (2, [])
    scheduled.set(tomorrow)
    assert await scheduled.call(tomorrow) == 200
    assert await scheduled.jobs() == 3, "the fire time itself"


async def test_a_clock_that_is_set_back_meanwhile_does_not_hold_the_call(
    scheduled: Scheduled, monkeypatch: pytest.MonkeyPatch
) -> None:
    await scheduled.call(THREE)
    tomorrow = THREE + timedelta(days=1)
    scheduled.set(tomorrow - timedelta(seconds=20))
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)  # the clock stands

    monkeypatch.setattr("headway.push.opened.sleep", sleep)
    assert await scheduled.call(tomorrow) == 503
    assert 30 <= sum(slept) <= 32
    assert await scheduled.jobs() == 1


@pytest.mark.parametrize("late_ms", [0, 1, 694])
async def test_the_first_call_of_all_counts_at_the_very_instant(scheduled: Scheduled, late_ms: int) -> None:
    tomorrow = THREE + timedelta(days=1)
    scheduled.set(tomorrow + timedelta(milliseconds=late_ms))
    assert await scheduled.call() == 200
    assert await scheduled.jobs() == 1


async def test_a_call_that_nobody_signed_is_refused(scheduled: Scheduled) -> None:
    assert await scheduled.call(THREE, **{"X-Headway-Signature": "t=0,v1=00"}) == 401
    assert await scheduled.jobs() == 0


async def test_each_call_looks_at_schedules_made_at_run_time_too(scheduled: Scheduled) -> None:
    """Nothing else calls for those; what is wrong with one of them is nothing to the caller."""
    app = scheduled.app
    await app.schedules.create("made", app.find_task("tidy").job(), every="1h")
    await app.carrier.write_schedule(MadeSchedule("damaged", 1, b"no definition"), expected=0)
    assert await scheduled.call(THREE) == 200
    assert await scheduled.jobs() == 1
    scheduled.clock.advance(timedelta(hours=24))
    for _ in range(2):
        assert await scheduled.call(THREE + timedelta(days=1)) == 200
        assert await scheduled.jobs() == 3
