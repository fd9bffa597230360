"""Shadows: which share of a queue's jobs is copied to another carrier, to see how that does before it is given any.

A copy is no job of the queue. It is in a queue of its own and of a task of its own, whose name no task can have: so
nobody runs it as what it is a copy of, not even a worker that knows nothing of shadows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

from msgspec import Struct

from headway.job import SHADOW_QUEUE, SHADOW_TASK, JobId, NewJob

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT_MS: Final = 600_000
"""Copies that nobody picks up expire: on a carrier without workers they come to so many minutes, not to all."""
_SALT: Final = crc32(b"shadow")  # who is copied does not depend on who goes where


class Shadow(Struct, frozen=True):
    """`percent` of a queue's jobs, 0 to 100, are copied to the carrier `to`; 0: none."""

    to: str
    percent: int

    def takes(self, job_id: str) -> bool:
        """Tell whether the job of this id is copied: the same everywhere, whatever its mark."""
        return crc32(job_id[:-1].encode(), _SALT) * 100 >> 32 < self.percent


def copy_of(job: NewJob, job_id: JobId, now_ms: int) -> NewJob:
    """Return a copy under this id: without names, so that it stands in nobody's way."""
    return NewJob(
        job_id,
        SHADOW_TASK + job.task,
        SHADOW_QUEUE,
        job.payload,
        due_ms=job.due_ms,
        expires_ms=max(now_ms, job.due_ms or 0) + KEPT_MS,
    )


def at_work(
    declared: Mapping[str, Shadow], set_here: Mapping[str, Shadow], taken: frozenset[str]
) -> dict[str, Shadow]:
    """Return the shadows by queue that copy anything: what was set goes before the settings, `taken` are carriers."""
    both = {**declared, **set_here}
    return {queue: one for queue, one in both.items() if one.percent > 0 and one.to in taken}
