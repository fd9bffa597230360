"""Figures: what became of jobs, per span of time and whatever they are told apart by."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.clock import from_ms, to_ms
from headway.figures.values import COARSE_KEPT_MS, FINE_KEPT_MS, MINUTE_MS, Counts, Row
from headway.server.instants import Instant
from headway.server.services.problems import CannotError, InvalidError
from headway.server.services.shared import check_queue

if TYPE_CHECKING:
    from datetime import datetime

    from headway.figures.histogram import Histogram
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared

_HOUR_MS: Final = 3_600_000
_MOST_ROWS: Final = 20_000


class By(StrEnum):
    """What the numbers of one span are told apart by."""

    NOTHING = "nothing"
    QUEUE = "queue"
    TASK = "task"
    CARRIER = "carrier"
    ALL = "all"  # queue, task and carrier


class Figure(Struct, frozen=True, kw_only=True):
    """The numbers of one span; what they are not told apart by is empty. Quantiles are in ms, null without jobs.

    `latency` is from due to start, `duration` from start to end, of attempts.
    """

    at: Instant
    queue: str = ""
    task: str = ""
    carrier: str = ""
    enqueued: int
    started: int
    succeeded: int
    failed: int
    dead: int
    retried: int
    superseded: int
    error_rate: float | None = None
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    duration_p50_ms: float | None = None
    duration_p95_ms: float | None = None


class FiguresView(Struct, frozen=True):
    """Figures in the order of time. `span_ms` is the length of each span."""

    since: Instant
    until: Instant
    span_ms: int
    figures: list[Figure]


class FiguresService:
    """The figures of an app."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def read(
        self,
        caller: Caller,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        span_ms: int = MINUTE_MS,
        queue: str | None = None,
        by: By = By.QUEUE,
    ) -> FiguresView:
        """Return figures of the last hour, or of the time that is given.

        `span_ms` counts whole minutes; beyond 48 hours back it is half an hour at least. CannotError where no carrier
        keeps figures, InvalidError.
        """
        if queue is not None:
            check_queue(caller, queue)
        store = self._shared.figures
        if store is None:
            msg = f"none of the carriers {', '.join(self._shared.carriers)} keeps figures: one on Redis or SQLite does"
            raise CannotError(msg)
        now = self._shared.app.clock.now_ms()
        until_ms = now + MINUTE_MS if until is None else _ms(until, "until")
        since_ms = min(now, until_ms) - _HOUR_MS if since is None else _ms(since, "since")
        if not MINUTE_MS <= span_ms <= COARSE_KEPT_MS or span_ms % MINUTE_MS:
            msg = f"span: must be whole minutes, up to 30 days; got {span_ms} ms"
            raise InvalidError(msg)
        coarse = since_ms < now - FINE_KEPT_MS
        if coarse:
            span_ms = max(span_ms, 30 * MINUTE_MS)
        found = await store.figures(since_ms, until_ms, queue=queue, coarse=coarse)
        rows = [
            row
            for row in found.rows
            if caller.scope.has_queue(row.queue)
            and (not caller.scope.tasks or row.task in caller.scope.tasks)
        ]
        return FiguresView(from_ms(since_ms), from_ms(until_ms), span_ms, _summed(rows, span_ms, by))


def _summed(rows: list[Row], span_ms: int, by: By) -> list[Figure]:
    minutes = span_ms // MINUTE_MS
    sums: dict[tuple[int, str, str, str], Counts] = {}
    for row in rows:
        key = (
            row.minute - row.minute % minutes,
            row.queue if by in {By.QUEUE, By.ALL} else "",
            row.task if by in {By.TASK, By.ALL} else "",
            row.carrier if by in {By.CARRIER, By.ALL} else "",
        )
        sums[key] = sums[key].merged(row.counts) if key in sums else row.counts
    if len(sums) > _MOST_ROWS:
        msg = f"these are {len(sums)} figures, more than {_MOST_ROWS}: ask for longer spans or a shorter time"
        raise InvalidError(msg)
    return [_figure(key, sums[key]) for key in sorted(sums)]


def _figure(key: tuple[int, str, str, str], counts: Counts) -> Figure:
    minute, queue, task, carrier = key
    return Figure(
        at=from_ms(minute * MINUTE_MS),
        queue=queue,
        task=task,
        carrier=carrier,
        enqueued=counts.enqueued,
        started=counts.started,
        succeeded=counts.succeeded,
        failed=counts.failed,
        dead=counts.dead,
        retried=counts.retried,
        superseded=counts.superseded,
        error_rate=counts.error_rate,
        latency_p50_ms=_quantile(counts.latency, 0.5),
        latency_p95_ms=_quantile(counts.latency, 0.95),
        duration_p50_ms=_quantile(counts.duration, 0.5),
        duration_p95_ms=_quantile(counts.duration, 0.95),
    )


def _quantile(durations: Histogram, share: float) -> float | None:
    found = durations.quantile(share)
    return None if found is None else round(found.ms, 1)


def _ms(instant: datetime, what: str) -> int:
    try:
        return max(0, to_ms(instant))
    except ValueError as error:
        msg = f"{what}: {error}"
        raise InvalidError(msg) from error
