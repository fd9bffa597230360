"""A job of BullMQ, read from its hash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

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
    from collections.abc import Mapping

    from headway.migrate.sources.bulls.places import Place
    from headway.migrate.sources.bulls.reading import Raw

_KEEPS: Final = ("replace", "extend", "keepLastIfActive")


def found_job(queue: str, place: Place, raw: Raw, *, paused: bool, parent: str) -> FoundJob:
    """Make a job of what was read; `parent` is the job that waits for it. UnreadableError says why it cannot be one."""
    options = raw.options()
    made = raw.number("atm")
    priority = raw.number("priority")
    state = state_of(place, paused=paused, retried=made > 0, prioritised=priority > 0)
    if raw.locked:
        state = FoundState.ACTIVE
    elif raw.waits_for:
        state = FoundState.PARENT
    dedup = dedup_of(options.get("de"))
    refusal = _refusal(raw) if state.waits else ""
    return FoundJob(
        source_id=raw.job_id,
        queue=queue,
        state=state,
        instant_ms=raw.number("timestamp"),
        name=raw.text("name"),
        args=(data_of(raw),),
        size=raw.size,
        refusal=refusal,
        due_ms=due_of(place, raw),
        priority=priority,
        attempts_made=made,
        attempts_allowed=attempts_of(options),
        back_off=back_off_of(options),
        reasons=reasons_of(raw),
        key=own_key(options),
        dedup=dedup,
        last_in_first_out=bool(options.get("lifo")),
        progress=raw.text("progress"),
        parent=parent,
        children=raw.children,
        schedule=raw.entry,
        finished_ms=raw.number("finishedOn") or None,
        token=b""
        if refusal
        else token_of(place, raw, "" if dedup is None else dedup.key, holds=_holds(options)),
    )


def _refusal(raw: Raw) -> str:
    if raw.follows:
        return "a newer job of its deduplication waits for its end (keepLastIfActive): let BullMQ run it"
    if raw.children_ended:
        return (
            f"its {raw.children_ended} children have ended and their results lie with it: let BullMQ run it"
        )
    return ""


def _holds(options: Mapping[str, Any]) -> bool:
    """Whether the deduplication key goes on to hold when the job is gone: a throttle does, until it runs out."""
    given: Any = options.get("de")
    if not isinstance(given, dict):
        return False
    found = cast("Mapping[str, Any]", given)
    return not any(found.get(word) for word in _KEEPS)
