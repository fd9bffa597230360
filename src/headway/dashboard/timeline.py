"""What happened to a job, in order; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from headway.clock import to_ms
from headway.dashboard.rendering import tone_of
from headway.job import JobState

if TYPE_CHECKING:
    from datetime import datetime

    from headway.server.services.job_views import Job


class Step(Struct, frozen=True):
    """One thing that happened, or will."""

    title: str
    tone: str
    at_ms: int | None = None
    text: str = ""
    detail: str = ""  # such as a traceback


def timeline(job: Job) -> list[Step]:
    """Return the steps, the first one first."""
    steps = [Step("Enqueued", "wait", to_ms(job.enqueued_at), f"on carrier {job.carrier}, queue {job.queue}")]
    steps += [
        Step(
            f"Attempt {one.attempt} failed", "bad", to_ms(one.at), f"{one.type}: {one.message}", one.traceback
        )
        for one in job.errors
    ]
    if job.crashes:
        steps.append(Step(f"Its worker died {job.crashes} times", "bad"))
    steps.append(_present(job))
    return steps


def _present(job: Job) -> Step:
    match job.state:
        case JobState.SCHEDULED:
            return Step(
                "Due", "later", _ms(job.due_at), f"attempt {job.attempt + 1}, priority {job.priority}"
            )
        case JobState.READY:
            return Step(
                "Waits for a place",
                "wait",
                _ms(job.due_at),
                f"attempt {job.attempt + 1}, priority {job.priority}",
            )
        case JobState.RUNNING:
            asked = "; it was asked to end" if job.cancel_requested else ""
            return Step(
                f"Attempt {job.attempt} runs", "accent", _ms(job.started_at), f"on worker {job.worker}{asked}"
            )
        case JobState.SUCCEEDED:
            return Step(f"Attempt {job.attempt} succeeded", "good", _ms(job.finished_at), _took(job))
        case JobState.FAILED:
            return Step("Failed for good", "bad", _ms(job.finished_at), job.reason)
        case _:
            return Step(job.state.capitalize(), tone_of(job.state), _ms(job.finished_at), job.reason)


def _took(job: Job) -> str:
    if job.started_at is None or job.finished_at is None:
        return ""
    return f"in {max(0, to_ms(job.finished_at) - to_ms(job.started_at)):,} ms"


def _ms(at: datetime | None) -> int | None:
    return None if at is None else to_ms(at)
