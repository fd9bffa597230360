"""A job of Bull, read from its hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.migrate.found import FoundJob, FoundState
from headway.migrate.sources.bulls.places import state_of
from headway.migrate.sources.bulls.reading import (
    attempts_of,
    back_off_of,
    data_of,
    dedup_of,
    own_key,
    reasons_of,
)
from headway.migrate.sources.bulls.tokens import due_of, token_of

if TYPE_CHECKING:
    from headway.migrate.sources.bulls.places import Place
    from headway.migrate.sources.bulls.reading import Raw


def found_job(queue: str, place: Place, raw: Raw, *, paused: bool) -> FoundJob:
    """Make a job of what was read. UnreadableError says why it cannot be one."""
    options = raw.options()
    made = raw.number("attemptsMade")
    priority = raw.number("priority")
    dedup = dedup_of(options.get("debounce"))
    kept = raw.text("deid")  # version 3 knows the option by hearsay only
    return FoundJob(
        source_id=raw.job_id,
        queue=queue,
        state=FoundState.ACTIVE
        if raw.locked
        else state_of(place, paused=paused, retried=made > 0, prioritised=priority > 0),
        instant_ms=raw.number("timestamp"),
        name=raw.text("name"),
        args=(data_of(raw),),
        size=raw.size,
        due_ms=due_of(place, raw),
        priority=priority,
        attempts_made=made,
        attempts_allowed=attempts_of(options),
        back_off=back_off_of(options),
        reasons=reasons_of(raw),
        key=own_key(options),
        dedup=dedup if kept else None,
        last_in_first_out=bool(options.get("lifo")),
        progress=raw.text("progress"),
        schedule=raw.entry,
        finished_ms=raw.number("finishedOn") or None,
        token=token_of(place, raw, kept, holds=True),
    )
