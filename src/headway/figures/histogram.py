"""Histograms of durations: four buckets for each doubling, so that a quantile is within 9.1 percent of the true one.

Bucket 0 holds what is below 1 ms. Bucket k holds 2^((k-1)/4) up to but not including 2^(k/4) ms. The last, number
121, holds all from 2^30 ms (12.4 days) on: a histogram has at most 122 numbers, and usually about twenty. Two of them
add up bucket by bucket, so that those of all processes and minutes make one without loss.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from msgspec import Struct

BUCKETS_PER_DOUBLING: Final = 4
LAST_BUCKET: Final = 30 * BUCKETS_PER_DOUBLING + 1
RELATIVE_ERROR: Final = 2 ** (0.5 / BUCKETS_PER_DOUBLING) - 1
"""How far a quantile's estimate can be from the true one, as a share of it: from 1 ms up to 12.4 days."""


BOUNDS: Final = tuple(2 ** ((bucket - 1) / BUCKETS_PER_DOUBLING) for bucket in range(1, LAST_BUCKET + 1))
"""Where each bucket but 0 begins, in milliseconds: `bisect_right(BOUNDS, ms)` is the bucket of a duration."""


class Quantile(NamedTuple):
    """A quantile in milliseconds: the true one is at least `low_ms` and below `high_ms`, `ms` is the estimate."""

    ms: float
    low_ms: float
    high_ms: float


class Histogram(Struct, frozen=True, array_like=True, gc=False):
    """Numbers of durations by bucket, ascending, without those that are empty."""

    counts: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Refuse, also when decoding, what no histogram can be: ValueError."""
        last = -1
        for bucket, count in self.counts:
            if not last < bucket <= LAST_BUCKET or count < 1:
                msg = f"a histogram's buckets ascend from 0 to {LAST_BUCKET} and count from 1 on, got {self.counts!r}"
                raise ValueError(msg)
            last = bucket

    @property
    def total(self) -> int:
        """Number of durations."""
        return sum(count for _, count in self.counts)

    def merged(self, other: Histogram) -> Histogram:
        """Return the histogram of both."""
        if not self.counts or not other.counts:
            return self if self.counts else other
        counts = dict(self.counts)
        for bucket, count in other.counts:
            counts[bucket] = counts.get(bucket, 0) + count
        return Histogram(tuple(sorted(counts.items())))

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was added since an earlier state of it; a bucket that has shrunk counts as unchanged."""
        before = dict(earlier.counts)
        return Histogram(
            tuple(
                (bucket, count - before.get(bucket, 0))
                for bucket, count in self.counts
                if count > before.get(bucket, 0)
            )
        )

    def from_bucket(self, bucket: int) -> int:
        """Number of durations in this bucket and above."""
        return sum(count for number, count in self.counts if number >= bucket)

    def quantile(self, share: float) -> Quantile | None:
        """Return the smallest duration that at least this share of them (0 to 1) does not exceed; None of none."""
        rank = max(1, math.ceil(share * self.total))
        seen = 0
        for bucket, count in self.counts:
            seen += count
            if seen >= rank:
                return _quantile(bucket)
        return None


def histogram(durations_ms: list[float]) -> Histogram:
    """Return the histogram of durations in milliseconds."""
    counts: dict[int, int] = {}
    for ms in durations_ms:
        bucket = bucket_of(ms)
        counts[bucket] = counts.get(bucket, 0) + 1
    return Histogram(tuple(sorted(counts.items())))


def bucket_of(ms: float) -> int:
    """Return the bucket of a duration in milliseconds; a negative one, of clocks that differ, counts as none."""
    if not ms >= 1:  # a NaN, too
        return 0
    return min(int(math.log2(ms) * BUCKETS_PER_DOUBLING) + 1, LAST_BUCKET) if ms < math.inf else LAST_BUCKET


def bucket_above(limit_ms: float) -> int:
    """Return the first bucket all of whose durations are above or at a limit in milliseconds.

    A limit inside a bucket is so taken as the bucket's upper end: up to 19 percent laxer, never stricter than asked.
    """
    bucket = bucket_of(limit_ms)
    return bucket if _low(bucket) >= limit_ms else bucket + 1


def _quantile(bucket: int) -> Quantile:
    low = _low(bucket)
    if bucket == LAST_BUCKET:
        return Quantile(low, low, math.inf)
    high = _low(bucket + 1)
    return Quantile(math.sqrt(low * high) if low else high / 2, low, high)


def _low(bucket: int) -> float:
    return 2 ** ((bucket - 1) / BUCKETS_PER_DOUBLING) if bucket else 0.0
