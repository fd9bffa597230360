from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.errors import DeclarationError
from headway.gcp.crontab import crontab
from headway.schedules.schedule import Cron, Every

NOW = datetime(2026, 11, 22, 8, 21, 10, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("*/5 * * * *", "*/5 * * * *"),
        ("0 30 2 * * *", "30 2 * * *"),  # six fields, whose seconds are 0
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("0 9 * jan-mar mon-fri", "0 9 * 1,2,3 1,2,3,4,5"),
        ("0 9 * * 7", "0 9 * * 0"),
        ("0 9 * * 5-7", "0 9 * * 0,5,6"),
        ("0 9 1,15 * 1", "0 9 1,15 * 1"),
    ],
)
def test_cron_expressions_keep_their_meaning(written: str, expected: str) -> None:
    found = crontab("nightly", Cron(written, "Europe/Zurich"))
    assert found == (expected, "Europe/Zurich")
    ours, theirs, at = Cron(written), Cron(found.cron), NOW
    for _ in range(50):
        at = ours.next_after(at)
        assert theirs.matches(at)


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        (Cron("*/10 * * * * *"), "no seconds"),
        (Cron("0 0 L * *"), "neither L nor #"),
        (Cron("0 0 * * 5L"), "neither L nor #"),
        (Cron("0 0 * * 1#2"), "neither L nor #"),
        (Cron("0 0 */2 * 1"), "different things to different crons"),
        (Every(timedelta(seconds=90)), "no seconds"),
        (Every(timedelta(hours=1), EPOCH + timedelta(seconds=5)), "no seconds"),
        (Every(timedelta(minutes=7)), "every 0:07:00"),
        (Every(timedelta(minutes=90)), "write a cron expression"),
        (Every(timedelta(days=2)), "write a cron expression"),
    ],
)
def test_what_cloud_scheduler_cannot_say_is_refused_with_the_reason(
    schedule: Cron | Every, reason: str
) -> None:
    with pytest.raises(DeclarationError, match="schedule 'nightly'") as refused:
        crontab("nightly", schedule)
    assert reason in str(refused.value)


EXPRESSIBLE = [
    *(timedelta(minutes=n) for n in range(1, 61) if 60 % n == 0),
    *(timedelta(hours=n) for n in range(1, 25) if 24 % n == 0),
    timedelta(days=7),
]


@given(
    interval=st.sampled_from(EXPRESSIBLE),
    offset=st.integers(-20_000, 20_000).map(lambda minutes: timedelta(minutes=minutes)),
    after=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants naive bounds
)
def test_an_interval_and_its_expression_fire_at_the_same_times(
    interval: timedelta, offset: timedelta, after: datetime
) -> None:
    every = Every(interval, EPOCH + offset)
    cron = Cron(*crontab("x", every))
    for _ in range(5):
        assert cron.next_after(after) == every.next_after(after)
        after = every.next_after(after)
