"""`headway stats`: what became of jobs in the last minutes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import examples, json_option
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from headway.brokers.base import FiguresStore
    from headway.cli.target import OpenTarget
    from headway.figures.histogram import Histogram
    from headway.figures.values import Counts, Figures
    from headway.routing.failover.entries import Contents

    Names = tuple[str, str, str]

MINUTES: Final = 15
_PAUSE: Final = 5.0  # seconds between two looks: workers write as often
_SECOND: Final = 1000  # ms
_CLEAR: Final = "\x1b[2J\x1b[H"  # the terminal, and its cursor to the first place


@click.command(
    epilog=examples(
        "headway stats --app shop.jobs:app",
        "headway stats email --watch --app shop.jobs:app",
        "headway stats --url redis://localhost --namespace shop --json",
    )
)
@click.argument("queue", required=False)
@click.option("--watch", is_flag=True, help="Look again every 5 s, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1), help="With --watch: end after so many looks.")
@json_option("the figures, with --watch on one line each time,")
@takes_target
def stats(target: Target, *, queue: str | None, watch: bool, limit: int | None, as_json: bool) -> None:
    """Show what became of jobs in the last 15 minutes, by queue, task and carrier: of QUEUE, or of all.

    Numbers are per minute. ERRORS is the share of ended attempts that failed. WAIT is from due to start, TIME from
    start to end, of each attempt. Workers count, and write what they counted every few seconds. Where the app has a
    spool, the last lines say what waits in that of this host, and which carriers its processes count as away.
    """
    if limit is not None and not watch:
        msg = "--limit: only with --watch"
        raise click.UsageError(msg)

    import asyncio

    from headway.cli.routes.modes import modes_of

    async def look(opened: OpenTarget) -> None:
        store = _store(opened)
        looks = 0
        while True:
            found = await _read(store, queue)
            modes = await modes_of(opened)
            _print(found, modes, as_json=as_json, watch=watch, spool=await _spool_of(opened))
            looks += 1
            if not watch or looks == limit:
                return
            await asyncio.sleep(_PAUSE)

    with_target(target, look)


def _store(opened: OpenTarget) -> FiguresStore:
    able = (one.capabilities.figures for one in opened.carriers.values())
    store = next((one for one in able if one is not None), None)
    if store is None:
        msg = f"no carrier among {', '.join(opened.carriers)} keeps figures: one on Redis or SQLite does"
        raise CommandFailed(msg)
    return store


async def _read(store: FiguresStore, queue: str | None) -> Figures:
    from headway.clock import SystemClock
    from headway.figures.values import MINUTE_MS

    now = SystemClock().now_ms()
    return await store.figures(now - MINUTES * MINUTE_MS, now + MINUTE_MS, queue=queue)


async def _spool_of(opened: OpenTarget) -> Contents | None:
    """Return what the spool of this host holds; None: the app has none."""
    return None if opened.failover is None else await opened.failover.contents()


def _print(
    found: Figures, modes: dict[str, Any], *, as_json: bool, watch: bool, spool: Contents | None
) -> None:
    from headway.cli.output import print_json, print_json_line, printable
    from headway.cli.routes.modes import mode_lines
    from headway.cli.spool import breaker_fields, breaker_lines, summary
    from headway.clock import SystemClock

    now_ms = SystemClock().now_ms()
    sums = _sums(found)
    if as_json:
        document: dict[str, Any] = {
            "minutes": MINUTES,
            "figures": [_fields(names, counts) for names, counts in sums.items()],
        }
        document |= modes
        if spool is not None:
            oldest = spool.oldest_ms
            document["spool"] = {
                "jobs": spool.jobs,
                "set_aside": spool.parked,
                "bytes": spool.size,
                "oldest_age_ms": None if oldest is None else max(0, now_ms - oldest),
                "breakers": breaker_fields(spool, now_ms),
            }
        (print_json_line if watch else print_json)(document)
        return
    if watch and sys.stdout.isatty():
        emit(_CLEAR)
    _print_table(sums)
    for line in mode_lines(modes):
        emit(printable(line))
    if spool is not None:
        emit(f"spool of this host: {summary(spool, now_ms)}")
        for line in breaker_lines(spool, now_ms):
            emit(printable(line))


def _sums(found: Figures) -> dict[Names, Counts]:
    """Return the numbers of all minutes, by queue, task and carrier."""
    sums: dict[Names, Counts] = {}
    for row in found.rows:
        names = (row.queue, row.task, row.carrier)
        sums[names] = sums[names].merged(row.counts) if names in sums else row.counts
    return dict(sorted(sums.items()))


def _fields(names: Names, counts: Counts) -> dict[str, Any]:
    queue, task, carrier = names
    return {
        "queue": queue,
        "task": task,
        "carrier": carrier,
        "enqueued": counts.enqueued,
        "started": counts.started,
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "dead": counts.dead,
        "retried": counts.retried,
        "superseded": counts.superseded,
        "error_rate": counts.error_rate,
        "latency_p50_ms": _quantile(counts.latency, 0.5),
        "latency_p95_ms": _quantile(counts.latency, 0.95),
        "duration_p95_ms": _quantile(counts.duration, 0.95),
    }


def _quantile(durations: Histogram, share: float) -> float | None:
    found = durations.quantile(share)
    return None if found is None else round(found.ms, 1)


def _print_table(sums: dict[Names, Counts]) -> None:
    from headway.cli.output import Column, print_table

    def red(cell: str) -> str | None:
        return "red" if cell.strip("0.% ") else None

    several = len({carrier for _, _, carrier in sums}) > 1
    print_table(
        [
            Column("queue"),
            Column("task"),
            Column("carrier", optional=True),
            *(Column(name, right=True) for name in ("started", "succeeded")),
            *(Column(name, right=True, colour=red) for name in ("failed", "dead")),
            Column("retried", right=True),
            Column("errors", right=True, colour=red),
            *(Column(name, right=True) for name in ("wait p50", "wait p95", "time p95")),
        ],
        [
            [
                queue,
                task,
                carrier if several else "",
                *map(_rate, (counts.started, counts.succeeded, counts.failed, counts.dead, counts.retried)),
                "" if counts.error_rate is None else f"{counts.error_rate:.1%}",
                _text(counts.latency, 0.5),
                _text(counts.latency, 0.95),
                _text(counts.duration, 0.95),
            ]
            for (queue, task, carrier), counts in sums.items()
        ],
        empty=f"no figures: no worker settled a job in the last {MINUTES} minutes",
    )


def _rate(count: int) -> str:
    """Write so many in all as a number a minute."""
    return _short(count / MINUTES) if count else "0"


def _text(durations: Histogram, share: float) -> str:
    ms = _quantile(durations, share)
    if ms is None:
        return ""
    return f"{_short(ms)} ms" if ms < _SECOND else f"{_short(ms / _SECOND)} s"


def _short(number: float) -> str:
    """Write a number with as many digits as tell anything."""
    return f"{number:.3g}" if number < _SECOND else f"{number:.0f}"
