"""The first page: what is wrong, what goes through, what waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from headway.clock import from_ms, to_ms
from headway.dashboard.charts import Chart, Series, written
from headway.dashboard.findings import MANY_FAIL, OLD_MS, RECENT_MS, Facts, findings
from headway.dashboard.spans import SPANS, ended_chart, instants, laid, span_of, time_chart, wait_chart
from headway.errors import CodecError, HeadwayError
from headway.job import JobState
from headway.raised import in_one_line
from headway.server.services.figures import By
from headway.server.services.problems import ServiceError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from headway.dashboard.asking import Asked
    from headway.dashboard.spans import Span
    from headway.migrate.viewing import MigrationSummary
    from headway.server.services.figures import Figure
    from headway.server.services.queues import Queue
    from headway.server.services.schedules import ScheduleView

_SHOWN: Final = 15
"""Queues on the first page; there may be thousands."""
_PATIENCE: Final = 2.0  # seconds for what is beside the carriers

T = TypeVar("T")


async def overview(asked: Asked) -> str:
    """Return the page."""
    services, caller = asked.services, asked.caller
    span = span_of(asked.one("span"))
    queues, workers, rollouts, schedules, figures, beside = await asyncio.gather(
        services.queues.list(caller),
        services.workers.list(caller),
        services.rollouts.list(caller),
        _schedules(asked),
        read(asked, span),
        asyncio.gather(
            _told(services.spool.read(caller)), _told(services.records.behind(caller)), _migrations(asked)
        ),
    )
    (spool, spool_trouble), (records, records_trouble), migrations = beside
    at = instants(span, asked.now_ms)
    recent = [one for one in figures if to_ms(one.at) + span.step_ms > asked.now_ms - RECENT_MS]
    facts = Facts(
        now_ms=asked.now_ms,
        queues=queues,
        workers=workers,
        pushed=any(store.capabilities.push is not None for store in services.app.carriers.values()),
        schedules=schedules,
        rollouts=rollouts,
        migrations=migrations,
        failed=sum(one.failed for one in recent),
        ended=sum(one.failed + one.succeeded for one in recent),
        dead=sum(one.dead for one in recent),
        superseded=sum(one.superseded for one in recent),
        trouble=services.audit.trouble,
        spool=spool,
        spool_trouble=spool_trouble,
        records=records,
        records_trouble=records_trouble,
    )
    ordered = sorted(queues, key=lambda one: (-(one.oldest_ready_age_ms or 0), -waiting(one), one.name))
    return asked.render(
        "overview",
        "Overview",
        found=findings(facts),
        span=span,
        spans=SPANS,
        charts=[
            ended_chart(at, figures),
            wait_chart(at, figures),
            _enqueued(at, figures),
            time_chart(at, figures),
        ],
        queues=ordered[:_SHOWN],
        more=len(queues) - _SHOWN,
        workers=workers,
        numbers=_numbers(
            span, queues, figures, len({one.id for one in workers}), sum(one.holds for one in workers)
        ),
        JobState=JobState,
    )


def waiting(queue: Queue) -> int:
    """Return how many of its jobs could start now."""
    return queue.counts.get(JobState.READY, 0)


async def read(asked: Asked, span: Span, by: By = By.NOTHING, queue: str | None = None) -> list[Figure]:
    """Return the figures of a span up to now; none where no carrier keeps any."""
    at = instants(span, asked.now_ms)
    try:
        view = await asked.services.figures.read(
            asked.caller,
            since=from_ms(at[0]),
            until=from_ms(at[-1] + span.step_ms),
            span_ms=span.step_ms,
            by=by,
            queue=queue,
        )
    except ServiceError:
        return []
    return view.figures


async def _told(asking: Awaitable[T]) -> tuple[T | None, str]:
    """Return what is told, or why it cannot be: the page says so, and shows the rest."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asking, ""
    except TimeoutError:
        return None, f"It has not answered for {_PATIENCE:.0f} s."
    except HeadwayError as error:
        return None, in_one_line(error)


async def _schedules(asked: Asked) -> list[ScheduleView]:
    try:
        return await asked.services.schedules.list(asked.caller)
    except ServiceError:  # the key is for some queues only
        return []


async def _migrations(asked: Asked) -> list[MigrationSummary]:
    try:
        return await asked.services.migrations.list(asked.caller)
    except (
        ServiceError,
        CodecError,
    ):  # the key is for some queues only; a damaged list is said on its own page
        return []


def _enqueued(at: tuple[int, ...], figures: list[Figure]) -> Chart:
    return Chart(
        "Enqueued and started",
        at,
        (
            Series("enqueued", laid(at, figures, lambda one: one.enqueued), "wait"),
            Series("started", laid(at, figures, lambda one: one.started), "accent"),
        ),
    )


def _numbers(
    span: Span, queues: list[Queue], figures: list[Figure], workers: int, holds: int
) -> list[tuple[str, str, str, str]]:
    """Return the figures at the top: name, value, more, tone."""
    minutes = span.length_ms / 60_000
    ended = sum(one.succeeded for one in figures)
    failed = sum(one.failed for one in figures)
    ready = sum(waiting(one) for one in queues)
    later = sum(one.counts.get(JobState.SCHEDULED, 0) for one in queues)
    running = sum(one.counts.get(JobState.RUNNING, 0) for one in queues)
    dead = sum(one.counts.get(JobState.FAILED, 0) for one in queues)
    oldest = max(queues, key=lambda one: one.oldest_ready_age_ms or 0, default=None)
    age = 0 if oldest is None else oldest.oldest_ready_age_ms or 0
    share = failed / (ended + failed) if ended + failed else 0.0
    return [
        (
            "Done a minute",
            f"{ended / minutes:,.0f}" if ended >= minutes else f"{ended / minutes:.2g}",
            f"{ended:,} in {span.title}",
            "",
        ),
        (
            "Failed attempts",
            written(share, "share"),
            f"{failed:,} in {span.title}",
            "bad" if share > MANY_FAIL else "",
        ),
        ("Waiting", f"{ready:,}", f"{later:,} scheduled", ""),
        (
            "Oldest waits",
            written(age, "ms") if age else "none",
            oldest.name if oldest is not None and age else "",
            "warn" if age > OLD_MS else "",
        ),
        ("Running", f"{running:,}", f"{holds:,} held by {workers:,} workers", ""),
        ("Dead", f"{dead:,}", "failed for good", "bad" if dead else ""),
    ]
