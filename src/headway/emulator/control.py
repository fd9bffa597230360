"""What tests ask of an emulator beside the APIs, below `/-/`: is it empty, what was answered, begin anew."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from headway.emulator.attempts import Attempts
    from headway.emulator.store import Store

_LONGEST_S: Final = 600.0
_USUAL_S: Final = 30.0


def control_routes(store: Store, attempts: Attempts, reset: Callable[[], Awaitable[None]]) -> list[Route]:
    """Return the routes."""

    async def empty(request: Request) -> JSONResponse:
        try:
            seconds = float(request.query_params.get("seconds", _USUAL_S))
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= _LONGEST_S:
            return JSONResponse({"error": f"seconds must be from 0 to {_LONGEST_S:g}"}, status_code=400)
        queue = request.query_params.get("queue", "")
        left = await store.until_empty(seconds, queue)
        return JSONResponse({"empty": not left, "tasks": left}, status_code=504 if left else 200)

    async def made(request: Request) -> JSONResponse:
        return JSONResponse({"attempts": attempts.shown(request.query_params.get("name", ""))})

    async def anew(_request: Request) -> JSONResponse:
        await reset()
        return JSONResponse({})

    return [
        Route("/-/empty", empty, methods=["GET"]),
        Route("/-/attempts", made, methods=["GET"]),
        Route("/-/reset", anew, methods=["POST"]),
    ]
