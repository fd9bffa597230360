"""Tells open pages that something happened, so that they look again: no more than that travels.

All pages of a process hear it from the one reader that live events have.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from starlette.responses import StreamingResponse

from headway.dashboard.answers import HEADERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.responses import Response

    from headway.server.live.hub import Hub

_PAUSE: Final = 1.0  # seconds from one word to the next, however much happens
_ANYWAY: Final = 10.0  # ages and what workers are at change without an event
CHANGED: Final = "event: changed\ndata: {}\n\n"


def live_answer(hub: Hub) -> Response:
    """Return a stream for one page; it ends with those of the hub."""
    headers = {**HEADERS, "cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_stream(hub), 200, headers, "text/event-stream")


async def _stream(hub: Hub) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    heard = dict(hub.ring.cursors)
    while not hub.closed:
        if heard == hub.ring.cursors:  # else something came during the pause
            await hub.wait(_ANYWAY)
        heard = dict(hub.ring.cursors)
        if not hub.closed:
            yield CHANGED
            await asyncio.sleep(_PAUSE)
