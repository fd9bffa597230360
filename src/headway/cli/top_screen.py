"""What `headway top` shows: one look at an app, as JSON and as the lines of a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from headway.cli.output import Column, printable, table, yellow
from headway.cli.render import iso, job_fields, queue_fields, relative, span, why_text
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import QueueCounts
    from headway.figures.values import Counts
    from headway.job import JobRecord

_WAITING: Final = (JobState.READY, JobState.RUNNING, JobState.SCHEDULED, JobState.FAILED)
_TAIL: Final = 0.95
_MINUTE: Final = 60.0


class Look(NamedTuple):
    """What was seen at one instant (epoch ms).

    `app` is its name, `recent` is what became of the jobs of each queue in the last `seconds`; None where no carrier
    keeps figures. `workers` are as `headway workers --json` lists them, `failures` the last jobs that failed for good.
    """

    app: str
    at_ms: int
    queues: Sequence[QueueCounts]
    recent: Mapping[str, Counts] | None
    seconds: float
    workers: Sequence[Mapping[str, Any]]
    failures: Sequence[JobRecord]


def look_fields(look: Look) -> dict[str, Any]:
    """Return a look for JSON."""
    return {
        "app": look.app,
        "at": iso(look.at_ms),
        "queues": [{**queue_fields(counts), **_pace(look, counts.queue)} for counts in look.queues],
        "workers": list(look.workers),
        "failures": [job_fields(job) for job in look.failures],
    }


def screen(
    look: Look, *, width: int | None = None, height: int | None = None, trouble: str = ""
) -> list[str]:
    """Return the lines of a look: its queues, the busiest first, its workers, its last failures.

    With a height they are at most so many, and each part says how many of its rows are left out. `trouble` is why
    nothing newer could be read.
    """
    lines = [click.style(printable(f"{look.app}  {iso(look.at_ms)}"), bold=True)]
    if trouble:
        lines.append(click.style(printable(" ".join(trouble.split()))[:width], fg="red"))
    parts = [_queues(look, width), _workers(look, width), _failures(look, width)]
    if height is not None:
        rooms = shares([len(part) for part in parts], height - len(lines) - len(parts))
        parts = [cut(part, room) for part, room in zip(parts, rooms, strict=True)]
    for part in parts:
        lines += ["", *part] if part else []
    return lines[:height]


def shares(sizes: Sequence[int], room: int) -> list[int]:
    """Return how many lines each part gets: as many as it has, or an equal share of what smaller parts leave."""
    given = [0] * len(sizes)
    for place, n in enumerate(sorted(range(len(sizes)), key=lambda n: sizes[n])):
        given[n] = min(sizes[n], max(0, room) // (len(sizes) - place))
        room -= given[n]
    return given


def cut(lines: list[str], room: int) -> list[str]:
    """Return as many of a table's lines, its last one in place of those that are left out."""
    if len(lines) <= room:
        return lines
    return [*lines[: room - 1], f"and {len(lines) - room + 1} more"] if room > 1 else lines[:room]


def _pace(look: Look, queue: str) -> dict[str, float | None]:
    """Return how many attempts of a queue end and fail in a minute, and within which time most of its jobs start."""
    if look.recent is None or look.seconds <= 0:
        return {"ended_per_minute": None, "failed_per_minute": None, "latency_p95_ms": None}
    counts = look.recent.get(queue)
    if counts is None:
        return {"ended_per_minute": 0.0, "failed_per_minute": 0.0, "latency_p95_ms": None}
    tail = counts.latency.quantile(_TAIL)
    return {
        "ended_per_minute": round(counts.ended * _MINUTE / look.seconds, 1),
        "failed_per_minute": round(counts.failed * _MINUTE / look.seconds, 1),
        "latency_p95_ms": None if tail is None else round(tail.ms, 1),
    }


def _queues(look: Look, width: int | None) -> list[str]:
    def busy(counts: QueueCounts) -> tuple[int, int, str]:
        some = counts.counts
        return -some.get(JobState.RUNNING, 0), -some.get(JobState.READY, 0), counts.queue

    rows: list[list[str]] = []
    for counts in sorted(look.queues, key=busy):
        pace = _pace(look, counts.queue)
        late = pace["latency_p95_ms"]
        rows.append(
            [
                counts.queue,
                "paused" if counts.paused else "",
                *(str(counts.counts.get(state, 0)) for state in _WAITING),
                *(_rate(pace[name]) for name in ("ended_per_minute", "failed_per_minute")),
                "-" if late is None else span(late),
                relative(counts.oldest_ready_ms, look.at_ms),
            ]
        )
    columns = [
        Column("queue"),
        Column("", optional=True, colour=yellow),
        *(
            Column(state.value, right=True, colour=_failed if state is JobState.FAILED else None)
            for state in _WAITING
        ),
        Column("ended/min", right=True),
        Column("errors/min", right=True, colour=_failed),
        Column("wait p95", right=True),
        Column("oldest ready", right=True),
    ]
    return table(columns, rows, width=width) if rows else ["no queues: nothing was enqueued yet"]


def _workers(look: Look, width: int | None) -> list[str]:
    if not look.workers:
        return ["no workers"]
    columns = [
        Column("worker"),
        Column("carriers", optional=True),
        Column("queues"),
        Column("running", right=True),
    ]
    rows = [
        [
            str(worker["worker"]),
            ", ".join(worker.get("carriers", ())),
            ", ".join(worker["queues"]),
            str(worker["running"]),
        ]
        for worker in look.workers
    ]
    return table(columns, rows, width=width)


def _failures(look: Look, width: int | None) -> list[str]:
    columns = [
        Column("last failures", whole=True),  # people copy the id into the next command
        Column("task"),
        Column("failed", right=True),
        Column("why", least=30),
    ]
    rows = [[job.id, job.task, relative(job.finished_ms, look.at_ms), why_text(job)] for job in look.failures]
    return table(columns, rows, width=width) if rows else []


def _rate(per_minute: float | None) -> str:
    return "-" if per_minute is None else f"{per_minute:.0f}"


def _failed(cell: str) -> str | None:
    return None if cell in {"0", "-"} else "red"
