"""Ids that end in the mark of the carrier that their jobs go to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from headway.job import JobId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.job import NewJob


def marked(jobs: Sequence[NewJob], mark: str) -> Sequence[NewJob]:
    """Return the jobs with ids that end in this mark; mostly they do, see `marked_ids`."""
    if not [None for job in jobs if job.id[-1] != mark]:
        return jobs
    return [job if job.id[-1] == mark else replace(job, id=JobId(job.id[:-1] + mark)) for job in jobs]


def marked_one(job: NewJob, mark: str) -> NewJob:
    """Return the job with an id that ends in this mark."""
    return job if job.id[-1] == mark else replace(job, id=JobId(job.id[:-1] + mark))
