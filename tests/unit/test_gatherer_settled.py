"""What a batch of settled attempts adds to the figures."""

from __future__ import annotations

import time
from bisect import bisect_right
from random import Random

import pytest
from msgspec.structs import replace

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


def test_a_batch_counts_as_its_attempts_do_one_by_one() -> None:
    rng = Random(7)
    now_ms = time.time_ns() // 1_000_000 + 5_000
    ids = [new_job_id() for _ in range(20)]
    outcomes: list[Outcome] = [
        Succeeded(),
        Succeeded(),
        Succeeded(),
        Failed(b""),
        RetryAt(0, b"", counted=True),
        Released(),
    ]
    attempts: list[tuple[Delivery, Outcome, tuple[float, float] | None, bool]] = []
    for _ in range(2_000):
        made = delivery(
            job_id=rng.choice([*ids, "!" * 20]),
            epoch=rng.choice([1, 1, 1, 2]),
            due_ms=rng.choice([None, None, now_ms - 3_000, now_ms - 10_000]),
        )
        one = replace(made, task=rng.choice("tuv"), queue=rng.choice("qr")) if rng.random() < 0.4 else made
        began = NOW - rng.choice([0.0, 0.001, 2.5, 4.99, rng.random() * 6])
        times = (
            None if rng.random() < 0.1 else (began, began + rng.choice([0.0, 0.0005, 0.001, rng.random()]))
        )
        attempts.append((one, rng.choice(outcomes), times, rng.random() < 0.9))
    together, apart = Gatherer("one"), Gatherer("one")
    together.settled("main", now_ms, NOW, attempts)
    for attempt in attempts:
        apart.settled("main", now_ms, NOW, [attempt])
    expected = apart.take()
    assert expected is not None
    assert together.take() == expected
    assert len(expected.figures.rows) == 6
    assert expected.figures.of().started == sum(times is not None for _, _, times, _ in attempts)
