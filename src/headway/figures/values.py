"""Figures: what happened to jobs, per minute, queue, task and carrier. Guards, the dashboard and alerts share them.

They add up: those of many processes and minutes merge, in any order, into one. They are exact to what was settled, but
for the last seconds of a process that is killed, whose figures (not its jobs) are lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.errors import CodecError
from headway.figures.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MINUTE_MS: Final = 60_000
COARSE_MINUTES: Final = 30
"""Minutes of a row that is kept for long."""
OTHER: Final = "(other)"
"""Stands for tasks, then for queues, beyond the number that is kept apart; no task or queue is called so."""
FINE_KEPT_MS: Final = 48 * 60 * MINUTE_MS
"""For how long a store keeps figures by the minute."""
COARSE_KEPT_MS: Final = 30 * 24 * 60 * MINUTE_MS
"""For how long a store keeps them by the half hour."""
MAX_ROWS_OF_SPAN: Final = 500
"""Rows of one minute, or half hour, in a store in which each task stands for itself; twice as many at most in all."""
MAX_ROWS_KEPT: Final = 100_000
"""Rows of each kind, by the minute and by the half hour, that a store keeps of an app: beyond, the oldest go first."""
MAX_BYTES: Final = 8 * 1024 * 1024
"""Size of encoded figures."""
_FORMAT: Final = 1

Key = tuple[int, str, str, str]
"""Minute since 1970 UTC, queue, task, carrier."""


class Counts(Struct, frozen=True, array_like=True, gc=False):
    """Numbers of one queue, task and carrier in one span of time.

    `enqueued` counts jobs that were accepted; `started` attempts; `succeeded` jobs; `failed` attempts that ended with
    an error, whatever came next; `dead` jobs that went to the dead-letter state; `retried` attempts after which the
    job was scheduled again, also at its handler's own wish; `superseded` settles that were refused because the lease
    had passed to somebody else. `latency` is the time from due to start, of each attempt that started; `duration` that
    from start to end, of each that ended.
    """

    enqueued: int = 0
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    dead: int = 0
    retried: int = 0
    superseded: int = 0
    latency: Histogram = Histogram()
    duration: Histogram = Histogram()

    @property
    def ended(self) -> int:
        """Attempts that a rate of errors is a share of: those that succeeded and those that failed."""
        return self.succeeded + self.failed

    @property
    def error_rate(self) -> float | None:
        """Failed attempts as a share of those that ended; None when none has."""
        return self.failed / self.ended if self.ended else None

    def merged(self, other: Counts) -> Counts:
        """Return the numbers of both."""
        return Counts(
            self.enqueued + other.enqueued,
            self.started + other.started,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.dead + other.dead,
            self.retried + other.retried,
            self.superseded + other.superseded,
            self.latency.merged(other.latency),
            self.duration.merged(other.duration),
        )

    def since(self, earlier: Counts) -> Counts:
        """Return what has come since an earlier state of these numbers; what has shrunk counts as unchanged."""
        return Counts(
            max(0, self.enqueued - earlier.enqueued),
            max(0, self.started - earlier.started),
            max(0, self.succeeded - earlier.succeeded),
            max(0, self.failed - earlier.failed),
            max(0, self.dead - earlier.dead),
            max(0, self.retried - earlier.retried),
            max(0, self.superseded - earlier.superseded),
            self.latency.since(earlier.latency),
            self.duration.since(earlier.duration),
        )


class Row(Struct, frozen=True, array_like=True, gc=False):
    """The numbers of one key. `minute` is when its span begins, in minutes since 1970 UTC."""

    minute: int
    queue: str
    task: str
    carrier: str
    counts: Counts

    @property
    def key(self) -> Key:
        """What tells rows apart, and their order."""
        return self.minute, self.queue, self.task, self.carrier


class Figures(Struct, frozen=True, gc=False):
    """Rows in the order of their keys, each key once."""

    rows: tuple[Row, ...] = ()

    def merged(self, *others: Figures) -> Figures:
        """Return the figures of all: associative and commutative, so that the order of writes means nothing."""
        return figures(row for part in (self, *others) for row in part.rows)

    def coarse(self, minutes: int = COARSE_MINUTES) -> Figures:
        """Return the same numbers in longer spans, which begin at multiples of so many minutes since 1970."""
        return figures(
            Row(row.minute - row.minute % minutes, row.queue, row.task, row.carrier, row.counts)
            for row in self.rows
        )

    def of(
        self,
        *,
        queue: str | None = None,
        carriers: Collection[str] | None = None,
        since: int | None = None,
        until: int | None = None,
    ) -> Counts:
        """Return the sum over rows: of a queue, of carriers, from minute `since` to before `until`; None: of all."""
        total = Counts()
        for row in self.rows:
            if (
                (queue is None or row.queue == queue)
                and (carriers is None or row.carrier in carriers)
                and (since is None or row.minute >= since)
                and (until is None or row.minute < until)
            ):
                total = total.merged(row.counts)
        return total


def figures(rows: Iterable[Row]) -> Figures:
    """Return figures of rows in any order; those of one key are added up."""
    found: dict[Key, Row] = {}
    for row in rows:
        key = row.key
        earlier = found.get(key)
        found[key] = row if earlier is None else Row(*key, earlier.counts.merged(row.counts))
    return Figures(tuple(found[key] for key in sorted(found)))


class _Stored(Struct, frozen=True, array_like=True):
    format: int
    rows: tuple[Row, ...]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Stored)


def encode_figures(given: Figures) -> bytes:
    """Return the figures as msgpack: about 60 bytes a row, and three for each bucket of its histograms."""
    return _encoder.encode(_Stored(_FORMAT, given.rows))


def decode_figures(data: bytes) -> Figures:
    """Read figures; CodecError when they are damaged, too large, or of a format that this Headway does not know."""
    if len(data) > MAX_BYTES:
        msg = f"stored figures have {len(data)} bytes, more than {MAX_BYTES}"
        raise CodecError(msg)
    try:
        stored = _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"stored figures are damaged: {error}"
        raise CodecError(msg) from error
    if stored.format != _FORMAT:
        msg = f"stored figures have format {stored.format}, this Headway knows {_FORMAT}: upgrade it"
        raise CodecError(msg)
    return figures(stored.rows)
