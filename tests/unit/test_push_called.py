from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headway.brokers.cloudtasks.auth.oidc import SKEW_S
from headway.clock import to_ms
from headway.push.called import SKEW_MS, named_fire
from headway.schedules.schedule import Cron, Every

ZURICH = "Europe/Zurich"  # clocks go on at 01:00 UTC on 29 March 2026, and back at 01:00 UTC on 25 October
NIGHTLY = Cron("0 3 * * *")


def at(*fields: int, ms: int = 0) -> int:
    return to_ms(datetime(*fields, tzinfo=UTC)) + ms  # type: ignore[arg-type, misc]


def test_the_skew_is_that_of_the_tokens() -> None:
    assert SKEW_MS == SKEW_S * 1000


@pytest.mark.parametrize("ms", [0, 1, 694, 999])
def test_a_fire_time_is_known_by_its_second(ms: int) -> None:
    assert named_fire(NIGHTLY, at(2026, 11, 23, 3, ms=ms)) == at(2026, 11, 23, 3)


@pytest.mark.parametrize("ms", [-1, 1000, 30_000, 59_999, 12 * 3_600_000])
def test_no_other_time_is_one(ms: int) -> None:
    assert named_fire(NIGHTLY, at(2026, 11, 23, 3, ms=ms)) is None


def test_intervals_have_fire_times_too() -> None:
    every = Every(timedelta(minutes=15))
    assert named_fire(every, at(2026, 11, 23, 3, 45)) == at(2026, 11, 23, 3, 45)
    assert named_fire(every, at(2026, 11, 23, 3, 46)) is None


@pytest.mark.parametrize(
    ("cron", "instant"),
    [
        ("30 2 * * *", at(2026, 3, 29, 1)),  # where the schedule has moved the time that is left out
        ("30 2 * * *", at(2026, 3, 29, 1, 30)),  # and where it is by the offset before
        ("30 2 * * *", at(2026, 3, 29, 0, 30)),  # or behind
        ("30 2 * * *", at(2026, 10, 25, 0, 30)),
        ("30 2 * * *", at(2026, 10, 25, 1, 30)),  # the second time that clocks show it
        ("*/5 * * * *", at(2026, 10, 25, 1, 5)),
    ],
)
def test_a_call_around_a_change_of_the_clock_is_none_by_hand(cron: str, instant: int) -> None:
    assert named_fire(Cron(cron, ZURICH), instant) == instant


def test_a_day_later_only_the_schedule_counts() -> None:
    assert named_fire(Cron("30 2 * * *", ZURICH), at(2026, 3, 30, 1, 30)) is None
    assert named_fire(Cron("30 2 * * *", ZURICH), at(2026, 3, 30, 0, 30)) == at(2026, 3, 30, 0, 30)


@pytest.mark.parametrize("instant", [at(1, 1, 1, 0, 0), at(9999, 12, 31, 23, 59)])
def test_the_ends_of_the_calendar_are_no_fire_times(instant: int) -> None:
    assert named_fire(Cron("30 2 * * *", ZURICH), instant) is None
