"""What a batch of settled attempts adds to the figures."""

from __future__ import annotations

import time
from bisect import bisect_right

import pytest

from headway.figures.gatherer import Gatherer
from headway.figures.histogram import BOUNDS, LAST_BUCKET, bucket_of, histogram
from headway.figures.values import Counts
from headway.job import (
    Delivery,
    Failed,
    JobId,
    Lease,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    WorkerId,
    id_instant_ms,
    new_job_id,
)

NOW = 5_000.0  # time.monotonic()


def delivery(*, epoch: int = 1, due_ms: int | None = None, job_id: str | None = None) -> Delivery:
    lease = Lease(JobId(job_id or new_job_id()), WorkerId("w"), epoch)
    return Delivery(lease, "t", "q", b"", 5, 1, 0, due_ms=due_ms)


def counted(*attempts: tuple[Delivery, Outcome, tuple[float, float] | None, bool], now_ms: int) -> Counts:
    gatherer = Gatherer("one")
    gatherer.settled("main", now_ms, NOW, attempts)
    delta = gatherer.take()
    return Counts() if delta is None else delta.figures.of(queue="q", carriers={"main"})


def test_each_outcome_adds_to_its_numbers() -> None:
    now_ms = time.time_ns() // 1_000_000
    times = (NOW - 0.2, NOW - 0.1)
    total = counted(
        (delivery(), Succeeded(), times, True),
        (delivery(), Succeeded(), times, False),
        (delivery(), RetryAt(0, b"", counted=True), times, True),
        (delivery(), RetryAt(0, b"", counted=False), times, True),
        (delivery(), Failed(b""), times, True),
        (delivery(), Released(), times, True),
        (delivery(), Released(), None, True),
        now_ms=now_ms,
    )
    assert total == Counts(
        started=6, succeeded=1, failed=2, dead=1, retried=2, superseded=1,
        latency=total.latency, duration=histogram([100.0000001] * 4),
    )  # fmt: skip
    assert total.latency.total == 6


@pytest.mark.parametrize(
    ("epoch", "due_in", "expected"),
    [(1, None, 400.0), (1, 150, 250.0), (1, -1000, 400.0), (2, None, None), (2, 150, 250.0)],
)
def test_latency_is_known_from_what_was_asked_or_from_the_id(
    epoch: int, due_in: int | None, expected: float | None
) -> None:
    one = delivery(epoch=epoch)
    made_ms = id_instant_ms(one.lease.job_id)
    one = delivery(epoch=epoch, job_id=one.lease.job_id, due_ms=None if due_in is None else made_ms + due_in)
    total = counted((one, Succeeded(), (NOW - 0.1, NOW), True), now_ms=made_ms + 500)
    assert total.latency == histogram([] if expected is None else [expected + 0.001])


def test_an_id_that_tells_no_time_gives_no_latency() -> None:
    total = counted((delivery(job_id="!" * 20), Succeeded(), (NOW, NOW), True), now_ms=10**12)
    assert (total.succeeded, total.latency.total) == (1, 0)


def test_buckets_are_found_by_their_bounds() -> None:
    for ms in (-5.0, 0.0, 0.99, 1.0, 1.5, 80.0, 12345.6, 2.0**31):
        assert bisect_right(BOUNDS, ms) == bucket_of(ms)
    assert len(BOUNDS) == LAST_BUCKET
