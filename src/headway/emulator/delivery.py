"""The transport of the dispatchers: HTTP to the target, whose answer is read but not kept."""

from __future__ import annotations

import logging
from typing import Final

import httpx

from headway.emulator.target import HttpAnswer, HttpCall

_log: Final = logging.getLogger(__name__)

_CONNECT_S: Final = 30.0
_IDLE_CONNECTIONS: Final = 200


class HttpDelivery:
    """Delivers over connections that are kept; `close` ends them."""

    def __init__(self) -> None:
        """No connection is made yet. Redirects are failures, and proxies of the environment are not asked."""
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=_IDLE_CONNECTIONS),
            trust_env=False,
            # What httpx adds of its own would not come from Cloud Tasks.
            headers={"accept": "*/*", "accept-encoding": "gzip,deflate,br"},
        )

    async def __call__(self, call: HttpCall) -> HttpAnswer | None:
        """Send the request; None when the connection failed or broke."""
        timeout = httpx.Timeout(call.timeout_ms / 1000, connect=min(_CONNECT_S, call.timeout_ms / 1000))
        try:
            async with self._client.stream(
                call.method, call.url, headers=call.headers, content=call.body, timeout=timeout
            ) as response:
                # To its end, so that the connection can be used again; an answer that breaks off is none.
                async for _ in response.aiter_raw():
                    pass
                return HttpAnswer(response.status_code, dict(response.headers))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            _log.info("task %s: %s", call.task, repr(error))
            return None

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()
