"""Waiting for a job's state, with a deadline, by the carrier's own events."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from headway.events import EventKind
from headway.job import JobState

if TYPE_CHECKING:
    from headway.app.handle import JobHandle
    from headway.events import Event

# An event tells that the job has been in the state, even if it has left it since. RETRY and RELEASED do not tell which
# of the waiting states followed: there the record has the say.
_TOLD_BY: Final = {JobState.RUNNING: EventKind.STARTED}
_LOOK_AGAIN: Final = 1.0  # seconds, should a carrier lose an event


async def wait_for(handle: JobHandle[Any], state: JobState, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - a deadline is always there
    """Wait until the job is, or since the call has been, in this state.

    TimeoutError says in which state it is instead, at once when it can no longer get there by itself, at the latest
    after `timeout` seconds of real time. JobNotFoundError when the job is unknown.
    """
    # From here on, so that no event is lost between the look at the record and the listening.
    events = handle.app.carrier.events()
    upcoming = asyncio.ensure_future(_next_of(events, handle.id))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    try:
        while True:
            found = (await handle.record()).state
            if found is state:
                return
            if found.terminal:
                msg = f"job {handle.id} is {found}: it can no longer become {state}"
                raise TimeoutError(msg)
            left = deadline - loop.time()
            if left <= 0:
                msg = f"job {handle.id} is still {found} after {timeout:g} s; waited for {state}"
                raise TimeoutError(msg)
            await asyncio.wait({upcoming}, timeout=min(left, _LOOK_AGAIN))
            if upcoming.done():
                event = upcoming.result()
                if event is not None and event.kind is _TOLD_BY.get(state):
                    return
                upcoming = asyncio.ensure_future(_next_of(events, handle.id))
    finally:
        upcoming.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await upcoming
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


async def _next_of(events: Any, job_id: str) -> Event | None:  # noqa: ANN401 - an async iterator of events
    async for event in events:
        if event.job_id == job_id:
            found: Event = event
            return found
    return None
