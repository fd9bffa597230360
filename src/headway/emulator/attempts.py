"""What targets answered: a line in the log, and a record of the last attempts for people and tests."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, structs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headway.clock import Clock
    from headway.emulator.target import HttpAnswer, HttpCall

    Deliver = Callable[[HttpCall], Awaitable[HttpAnswer | None]]

_log: Final = logging.getLogger("headway.emulator")

_KEPT: Final = 1000
_SHOWN: Final = 200  # characters of an answer in the log


class Attempted(Struct, frozen=True):
    """One attempt. Without a `status` there was no answer; `error` says why. `at_ms` is since 1970 UTC."""

    name: str
    attempt: int
    method: str
    url: str
    at_ms: int
    took_ms: int
    status: int | None = None
    headers: dict[str, str] = {}
    body: str = ""
    error: str = ""


class Attempts:
    """The last thousand attempts of tasks and scheduled jobs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: deque[Attempted] = deque(maxlen=_KEPT)

    def shown(self, name: str = "") -> list[dict[str, Any]]:
        """Return the attempts of the tasks and jobs whose names begin so, the first ones first."""
        return [structs.asdict(one) for one in self._last if one.name.startswith(name)]

    def clear(self) -> None:
        """Forget all."""
        self._last.clear()

    def recording(self, deliver: Deliver) -> Deliver:
        """Return what delivers, and keeps what came of it."""

        async def recorded(call: HttpCall) -> HttpAnswer | None:
            at_ms, began = self._clock.now_ms(), time.monotonic()
            answer: HttpAnswer | None = None
            error = "the connection failed"
            try:
                answer = await deliver(call)
            except BaseException as failed:
                error = type(failed).__name__
                raise
            finally:
                self._keep(call, answer, at_ms, round((time.monotonic() - began) * 1000), error)
            return answer

        return recorded

    def _keep(self, call: HttpCall, answer: HttpAnswer | None, at_ms: int, took_ms: int, error: str) -> None:
        made = Attempted(call.task, call.attempt, call.method, call.url, at_ms, took_ms, error=error)
        if answer is not None:
            body = answer.body.decode(errors="replace")
            made = structs.replace(made, status=answer.status, headers=answer.headers, body=body, error="")
        self._last.append(made)
        well = made.status is not None and 200 <= made.status < 300  # noqa: PLR2004 - 2xx
        _log.log(
            logging.DEBUG if well else logging.INFO,
            "%s: attempt %d: %s after %d ms%s",
            made.name,
            made.attempt,
            made.error or made.status,
            took_ms,
            f": {made.body[:_SHOWN]!r}" if made.body else "",
        )
