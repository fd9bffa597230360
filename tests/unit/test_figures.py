"""Figures: they add up in any order, a quantile is as near as stated, and a lost write loses and doubles nothing."""

from __future__ import annotations

import math
from threading import Thread

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.errors import CodecError
from headway.figures.gatherer import Delta, Ending, Gatherer, ending
from headway.figures.histogram import (
    LAST_BUCKET,
    RELATIVE_ERROR,
    Histogram,
    bucket_above,
    bucket_of,
    histogram,
)
from headway.figures.values import OTHER, Counts, Figures, Row, decode_figures, encode_figures, figures
from headway.job import Cancelled, Expired, Failed, Outcome, Released, RetryAt, Succeeded

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed
durations = st.floats(0, 2**31, allow_nan=False)
histograms = st.lists(durations, max_size=8).map(histogram)
numbers = st.integers(0, 2**40)
counts = st.builds(Counts, *[numbers] * 7, histograms, histograms)
names = st.sampled_from(["a", "b", OTHER])
rows = st.builds(Row, st.integers(0, 100), names, names, names, counts)
any_figures = st.lists(rows, max_size=5).map(figures)
MINUTE = 60_000


@UNTIMED
@given(st.lists(durations, min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_is_within_the_stated_error(values: list[float], share: float) -> None:
    true = sorted(values)[max(1, math.ceil(share * len(values))) - 1]
    found = histogram(values).quantile(share)
    assert found is not None
    assert found.low_ms <= true < found.high_ms
    if 1 <= true < 2**30:
        assert found.ms == pytest.approx(true, rel=RELATIVE_ERROR + 1e-9)


def test_the_stated_error() -> None:
    assert pytest.approx(0.0905, abs=1e-4) == RELATIVE_ERROR
    assert Histogram().quantile(0.5) is None


@UNTIMED
@given(durations)
def test_a_duration_lies_in_its_bucket(ms: float) -> None:
    bucket = bucket_of(ms)
    assert 0 <= bucket <= LAST_BUCKET
    found = histogram([ms]).quantile(1)
    assert found is not None
    assert found.low_ms <= ms < found.high_ms


@pytest.mark.parametrize(("ms", "bucket"), [(-5.0, 0), (math.nan, 0), (0.0, 0), (0.999, 0), (1.0, 1), (2.0, 5), (2.0**30, LAST_BUCKET), (1e300, LAST_BUCKET), (math.inf, LAST_BUCKET)])  # fmt: skip
def test_buckets_at_their_ends(ms: float, bucket: int) -> None:
    assert bucket_of(ms) == bucket


@UNTIMED
@given(st.floats(1, 2**29), st.lists(durations, max_size=20))
def test_what_is_above_a_limit_is_never_counted_stricter_than_asked(
    limit: float, values: list[float]
) -> None:
    above = histogram(values).from_bucket(bucket_above(limit))
    assert above <= sum(value >= limit for value in values)
    assert above >= sum(value >= limit * 2**0.25 * (1 + 1e-9) for value in values)


@pytest.mark.parametrize("pairs", [((5, 1), (3, 1)), ((3, 1), (3, 1)), ((-1, 1),), ((LAST_BUCKET + 1, 1),), ((1, 0),)])  # fmt: skip
def test_a_histogram_that_cannot_be_is_refused(pairs: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="ascend from 0 to 121 and count from 1 on"):
        Histogram(pairs)


@UNTIMED
@given(any_figures, any_figures, any_figures)
def test_figures_add_up_in_any_order(a: Figures, b: Figures, c: Figures) -> None:
    assert a.merged(b, c) == a.merged(b).merged(c) == a.merged(b.merged(c)) == c.merged(a, b)
    assert a.merged() == a.merged(Figures()) == a
    assert a.merged(b).coarse() == a.coarse().merged(b.coarse())
    assert a.merged(b).of() == a.of().merged(b.of())


@UNTIMED
@given(counts, counts)
def test_what_came_since_is_the_difference(earlier: Counts, more: Counts) -> None:
    assert earlier.merged(more).since(earlier) == more
    assert earlier.since(earlier.merged(more)) == Counts()  # shrunk: lost, not negative


@UNTIMED
@given(any_figures)
def test_figures_come_back_from_their_stored_form(given: Figures) -> None:
    assert decode_figures(encode_figures(given)) == given


def test_figures_of_a_queue_and_a_time() -> None:
    def row(minute: int, queue: str, carrier: str, failed: int) -> Row:
        return Row(minute, queue, "task", carrier, Counts(failed=failed, succeeded=1))

    given = figures([row(1, "a", "main", 1), row(2, "a", "main", 2), row(2, "a", "push", 4), row(2, "b", "push", 8)])  # fmt: skip
    assert given.of(queue="a").failed == 7
    assert given.of(queue="a", carriers={"push"}).failed == 4
    assert given.of(since=2).failed == 14
    assert given.of(until=2) == Counts(failed=1, succeeded=1)
    assert given.of(queue="c").error_rate is None
    assert given.of(queue="a").error_rate == 7 / 10
    assert [row.minute for row in given.coarse(2).rows] == [0, 2, 2, 2]


DAMAGED: list[tuple[bytes, str]] = [
    (b"", "stored figures are damaged"),
    (msgspec.msgpack.encode([2, []]), "stored figures have format 2, this Headway knows 1: upgrade it"),
    (msgspec.msgpack.encode([1, [[1, "q", "t"]]]), "stored figures are damaged"),
    (msgspec.msgpack.encode([1, [[1, "q", "t", "c", [0] * 7 + [[[[500, 1]]], [[]]]]]]), "stored figures are damaged: .*ascend from 0 to 121"),
    (b" " * (8 * 1024 * 1024 + 1), "have 8388609 bytes, more than 8388608"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), DAMAGED)
def test_damage_is_an_error_of_its_own(data: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=message):
        decode_figures(data)


def taken(gatherer: Gatherer) -> Delta:
    delta = gatherer.take()
    assert delta is not None
    return delta


def test_what_is_gathered() -> None:
    gatherer = Gatherer("host-1")
    gatherer.enqueued("email", "send", "main", 5 * MINUTE, 3)
    gatherer.started("email", "send", "main", 5 * MINUTE + 1, 12.0)
    for each in Ending:
        gatherer.ended("email", "send", "main", 6 * MINUTE, each, 300.0)
    assert taken(gatherer).figures == figures(
        [
            Row(5, "email", "send", "main", Counts(enqueued=3, started=1, latency=histogram([12.0]))),
            Row(6, "email", "send", "main", Counts(succeeded=1, failed=2, dead=1, retried=2, superseded=1, duration=histogram([300.0] * 4))),
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Succeeded(), Ending.SUCCEEDED), (RetryAt(5), Ending.RETRIED), (RetryAt(5, counted=False), Ending.POSTPONED), (Failed(), Ending.DEAD),
        (Cancelled(), Ending.WITHDRAWN), (Expired(), Ending.WITHDRAWN), (Released(), Ending.WITHDRAWN),
    ],
)  # fmt: skip
def test_how_an_outcome_counts(outcome: Outcome, expected: Ending) -> None:
    assert ending(outcome) is expected
    assert ending(outcome, accepted=False) is Ending.SUPERSEDED


def test_a_delta_is_the_same_until_it_is_written() -> None:
    gatherer = Gatherer("host-1")
    assert gatherer.take() is None
    gatherer.enqueued("email", "send", "main", MINUTE)
    first = taken(gatherer)
    gatherer.enqueued("email", "send", "main", MINUTE)
    assert (
        taken(gatherer) is first
    )  # the write failed, or nobody knows: a store that has number 1 passes it over
    gatherer.written(first.number - 1)
    assert taken(gatherer) is first
    gatherer.written(first.number)
    second = taken(gatherer)
    assert (first.number, second.number, second.source) == (1, 2, "host-1")
    gatherer.written(second.number)
    assert gatherer.take() is None
    assert first.figures.merged(second.figures).of().enqueued == 2


def test_memory_is_bounded_and_nothing_is_lost() -> None:
    gatherer = Gatherer("host-1", max_rows=10)
    for number in range(5000):
        gatherer.enqueued(f"q{number % 7}", f"t{number}", "main", number * MINUTE)
    found = taken(gatherer).figures
    assert found.of().enqueued == 5000
    assert len(found.rows) <= 20 + 5000 // 30 + 1
    assert len([row for row in found.rows if OTHER not in {row.queue, row.task}]) == 10
    assert found.rows[-1].key[1:] == (OTHER, OTHER, "main")
    again = Gatherer("host-1", max_rows=2)
    for task in ("a", "b", "c", "d"):
        again.enqueued("email", task, "main", MINUTE)
    assert [row.task for row in taken(again).figures.rows] == [
        OTHER,
        "a",
        "b",
    ]  # the queue is kept as long as may be


def test_threads_lose_nothing() -> None:
    gatherer = Gatherer("host-1")

    def work() -> None:
        for _ in range(2000):
            gatherer.started("email", "send", "main", MINUTE, 5.0)
            gatherer.ended("email", "send", "main", MINUTE, Ending.SUCCEEDED, 5.0)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = taken(gatherer).figures.of()
    assert (found.started, found.succeeded, found.latency.total, found.duration.total) == (8000,) * 4
