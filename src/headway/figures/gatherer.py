"""Gathers the figures of one process: a job costs three small additions, a write takes all every few seconds."""

from __future__ import annotations

import math
from bisect import bisect_right
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.figures.histogram import BOUNDS, Histogram, bucket_of
from headway.figures.values import COARSE_MINUTES, MINUTE_MS, OTHER, Counts, Figures, Row, figures
from headway.job import Cancelled, Expired, Failed, Released, RetryAt, Succeeded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headway.job import Delivery, Outcome

MAX_ROWS: Final = 500
"""Rows of a delta in which each task stands for itself."""


Times = tuple[float, float] | None
"""When an attempt began and ended, by time.monotonic(); None: it never began."""
_HEAD: Final = 10  # characters of an id that tell when it was made
_BEHIND: Final = "~"  # sorts behind all characters of an id
_SHORT: Final = 0.001  # seconds: durations below are in bucket 0
_EDGES: Final = (-math.inf, *(bound / 1000 for bound in BOUNDS), math.inf)
"""Where each bucket begins, and the last one ends, in seconds."""
_DIGITS: Final = str.maketrans("0123456789abcdefghjkmnpqrstvwxyz", "0123456789abcdefghijklmnopqrstuv")


class Ending(Enum):
    """How an attempt ended: its name, the counters that it adds to, and whether its duration counts."""

    SUCCEEDED = ("succeeded", (2,), True)
    RETRIED = ("retried", (3, 5), True)  # it failed, and the job is tried again
    DEAD = ("dead", (3, 4), True)  # it failed, and was the last
    POSTPONED = ("postponed", (5,), True)  # its handler asked for another run later: no error
    SUPERSEDED = (
        "superseded",
        (6,),
        False,
    )  # its lease had passed to somebody else: how it ended counts for nothing
    WITHDRAWN = ("withdrawn", (), False)  # cancelled, expired or handed back: neither a success nor an error

    def __init__(self, name: str, counters: tuple[int, ...], timed: bool) -> None:  # noqa: ARG002, FBT001 - by Enum
        """Keep them as plain attributes: those of Enum are slow to read."""
        self.counters = counters
        self.timed = timed


class Delta(Struct, frozen=True):
    """What one process has gathered since its last delta.

    `source` and `number` name it: a store that has it already must not add it again, so that a write that timed
    out can be repeated.
    """

    source: str
    number: int
    figures: Figures


class _Cell:
    """The numbers of one key while they grow."""

    __slots__ = ("counts", "duration", "latency")

    def __init__(self) -> None:
        self.counts = [0] * 7  # in the order of Counts
        self.latency: dict[int, int] = {}
        self.duration: dict[int, int] = {}

    def add(self, plain: int, bucket: int, alike: int) -> None:
        """Add jobs that succeeded within 1 ms, and latencies of one bucket."""
        if plain:
            self.counts[1] += plain
            self.counts[2] += plain
            self.duration[0] = self.duration.get(0, 0) + plain
        if alike:
            self.latency[bucket] = self.latency.get(bucket, 0) + alike

    def count(self, how: Ending) -> bool:
        """Count an attempt that began and ended so; return whether its duration counts."""
        self.counts[1] += 1
        for counter in how.counters:
            self.counts[counter] += 1
        return how.timed


class Gatherer:
    """Adds up what happens in this process; may be called from any thread.

    `source` names the process, and no other one: deltas are told apart by it. Beyond `max_rows` unwritten rows (queues
    times tasks times carriers times minutes), tasks are gathered under the name `(other)`; beyond twice as many, queues
    too, and minutes as half hours: memory is bounded, also while the store is away.
    """

    def __init__(self, source: str, max_rows: int = MAX_ROWS) -> None:
        self._source = source
        self._max_rows = max_rows
        self._lock = Lock()
        self._cells: dict[tuple[int, str, str, str], _Cell] = {}
        self._number = 0
        self._unwritten: Delta | None = None

    def enqueued(self, queue: str, task: str, carrier: str, now_ms: int, count: int = 1) -> None:
        """Count jobs that were accepted."""
        with self._lock:
            self._cell(now_ms // MINUTE_MS, queue, task, carrier).counts[0] += count

    def started(self, queue: str, task: str, carrier: str, now_ms: int, latency_ms: float) -> None:
        """Count an attempt that begins, so long after it was due."""
        bucket = bucket_of(latency_ms)
        with self._lock:
            cell = self._cell(now_ms // MINUTE_MS, queue, task, carrier)
            cell.counts[1] += 1
            cell.latency[bucket] = cell.latency.get(bucket, 0) + 1

    def ended(  # noqa: PLR0917 - keywords cost, and this is called for each job
        self, queue: str, task: str, carrier: str, now_ms: int, ending: Ending, duration_ms: float
    ) -> None:
        """Count an attempt that has ended, so long after it began."""
        bucket = bucket_of(duration_ms)
        with self._lock:
            cell = self._cell(now_ms // MINUTE_MS, queue, task, carrier)
            for counter in ending.counters:
                cell.counts[counter] += 1
            if ending.timed:
                cell.duration[bucket] = cell.duration.get(bucket, 0) + 1

    def settled(
        self, carrier: str, now_ms: int, now: float, attempts: Iterable[tuple[Delivery, Outcome, Times, bool]]
    ) -> None:
        """Count attempts that have ended, with when they did; those without were never begun, and count for nothing.

        The last of each is false when its outcome was refused as superseded. `now` is time.monotonic() at `now_ms`.
        A job's latency begins when it was to start: as asked, or when it was enqueued, as its id tells. It is unknown
        for one that was handed back, or whose worker died: since when it waits again, nobody says.

        Written for speed, where the other methods are for few: every job of a worker comes by here. What most jobs of
        a batch have in common is looked up once, and counted in local variables until it changes.
        """
        queue: str | None = None
        task = ""
        cell = _Cell()
        plain = 0  # attempts that succeeded within 1 ms
        alike, bucket = 0, 0  # jobs of one latency: not delayed, with ids from `head` to before `tail`, and
        head = tail = ""  # begun from `low` to before `high`
        low = high = now
        with self._lock:
            for delivery, outcome, times, applied in attempts:
                if times is None:
                    continue
                began, ended = times
                if delivery.task != task or delivery.queue != queue:
                    cell.add(plain, bucket, alike)
                    plain = alike = 0
                    queue, task = delivery.queue, delivery.task
                    cell = self._cell(now_ms // MINUTE_MS, queue, task, carrier)
                lease = delivery.lease
                if delivery.due_ms is None and lease.epoch == 1:
                    if low <= began < high and head <= lease.job_id < tail:
                        alike += 1
                    else:
                        cell.add(0, bucket, alike)
                        alike = 0
                        head = lease.job_id[:_HEAD]
                        tail = head + _BEHIND
                        low = high = now
                        if made_ms := _made_ms(head):
                            due = now - (now_ms - made_ms) / 1000
                            bucket = bisect_right(BOUNDS, (began - due) * 1000)
                            low, high = due + _EDGES[bucket], due + _EDGES[bucket + 1]
                            alike = 1
                elif (due_ms := _due_ms(delivery)) is not None:
                    cell.add(0, bisect_right(BOUNDS, (began - now) * 1000 + (now_ms - due_ms)), 1)
                if applied and ended - began < _SHORT and type(outcome) is Succeeded:
                    plain += 1
                elif cell.count(ending(outcome, accepted=applied)):
                    took = bisect_right(BOUNDS, (ended - began) * 1000)
                    cell.duration[took] = cell.duration.get(took, 0) + 1
            cell.add(plain, bucket, alike)

    def take(self) -> Delta | None:
        """Return what is to be written, or None; the same again, under its old number, until `written` was called."""
        with self._lock:
            if self._unwritten is not None:
                return self._unwritten
            cells, self._cells = self._cells, {}
        if not cells:
            return None
        self._number += 1
        self._unwritten = Delta(self._source, self._number, figures(_rows(cells)))
        return self._unwritten

    def written(self, number: int) -> None:
        """Note that the store holds the delta of this number; an older one's confirmation changes nothing."""
        with self._lock:
            if self._unwritten is not None and self._unwritten.number == number:
                self._unwritten = None

    def _cell(self, minute: int, queue: str, task: str, carrier: str) -> _Cell:
        cells = self._cells
        cell = cells.get((minute, queue, task, carrier))
        if cell is not None:
            return cell
        if len(cells) >= self._max_rows:
            task = OTHER
        if len(cells) >= 2 * self._max_rows:
            queue = OTHER
            minute -= minute % COARSE_MINUTES
        return cells.setdefault((minute, queue, task, carrier), _Cell())


def _made_ms(head: str) -> int:
    """Return when an id was made, by its first ten characters; `id_instant_ms` takes whole ids, and its time."""
    try:
        return int(head.translate(_DIGITS), 32) >> 2
    except ValueError:
        return 0


def _due_ms(delivery: Delivery) -> int | None:
    """Return when a delivery was to start; None when nobody says."""
    if delivery.lease.epoch != 1:
        return delivery.due_ms
    made_ms = _made_ms(delivery.lease.job_id[:_HEAD])
    return max(made_ms, delivery.due_ms or 0) or None


def ending(outcome: Outcome, *, accepted: bool = True) -> Ending:
    """Return how an attempt counts by its outcome; `accepted` is false when its carrier refused it as superseded."""
    if not accepted:
        return Ending.SUPERSEDED
    match outcome:
        case Succeeded():
            return Ending.SUCCEEDED
        case RetryAt():
            return Ending.RETRIED if outcome.counted else Ending.POSTPONED
        case Failed():
            return Ending.DEAD
        case Cancelled() | Expired() | Released():
            return Ending.WITHDRAWN


def _rows(cells: dict[tuple[int, str, str, str], _Cell]) -> Iterator[Row]:
    for (minute, queue, task, carrier), cell in cells.items():
        histograms = (Histogram(tuple(sorted(each.items()))) for each in (cell.latency, cell.duration))
        yield Row(minute, queue, task, carrier, msgspec.convert((*cell.counts, *histograms), Counts))
