"""Job ids as they are typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headway.job import JobId, is_job_id

if TYPE_CHECKING:
    from collections.abc import Sequence


def checked_ids(ids: Sequence[str]) -> list[JobId]:
    """Return the ids, each once; UsageError names the first that has not the form of one."""
    for text in ids:
        if not is_job_id(text):
            msg = f"{text!r} is not a job id: 20 characters of lower-case base 32"
            raise click.UsageError(msg)
    return [JobId(text) for text in dict.fromkeys(ids)]
