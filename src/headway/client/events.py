"""Live events, read from the server and resumed behind the last one whenever the connection ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec

from headway.client.calling import pairs, problem_of
from headway.client.values import Event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from headway.client.calling import Calling

_SILENCE: Final = 45.0  # seconds; the server says each 15 that it lives
_PAUSE: Final = 1.0


async def events(calling: Calling, query: Mapping[str, Any], after: str) -> AsyncIterator[Event]:
    """Yield events without end; ApiError when the server refuses."""
    last = after
    timeout = httpx.Timeout(_SILENCE)
    while True:
        headers = {**calling.headers, "accept": "text/event-stream"}
        if last:
            headers["last-event-id"] = last
        try:
            asked = calling.http.stream(
                "GET", f"{calling.url}/v1/events", params=pairs(query), headers=headers, timeout=timeout
            )
            async with asked as answer:
                if not answer.is_success:
                    error = problem_of(answer.status_code, await answer.aread())
                    if answer.status_code < 500:  # noqa: PLR2004 - of HTTP
                        raise error
                else:
                    async for event in blocks(answer.aiter_lines()):
                        last = event.id or last
                        if event.type:
                            yield event
        except httpx.TransportError:
            pass
        await asyncio.sleep(_PAUSE)


async def blocks(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Read the lines of a stream; an event without a type only moves the id on."""
    kind, data, event_id = "", "", ""
    async for line in lines:
        if not line:
            if kind or event_id:
                yield Event(kind if data else "", msgspec.json.decode(data) if data else {}, event_id)
            kind, data, event_id = "", "", ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data += value
            case "id":
                event_id = value
            case _:
                pass
