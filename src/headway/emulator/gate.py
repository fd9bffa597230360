"""Who may use the HTTP port: programs, and no web page that a browser on this machine has open.

A page of any site may send requests to a loopback address. The browser says where it comes from (`Origin`,
`Sec-Fetch-Site`), and a site whose name is made to point at this machine shows in `Host`: each is refused here, for
every route. Bodies need the content type of JSON as well (see `rest`), which a page cannot send unasked.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse

from headway.emulator.errors import Code
from headway.emulator.targets import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log: Final = logging.getLogger("headway.emulator")

_is_host: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]/@\\\s]+)(?::\d{1,5})?", re.IGNORECASE).fullmatch
_OWN_SITES: Final = frozenset({"same-origin", "none"})  # none: somebody typed the address
_LOGGED: Final = 100  # different refusals: a page must not fill the log


class Gate:
    """An ASGI application before another one."""

    def __init__(self, app: App, *, hosts: Iterable[str] = ()) -> None:
        """`hosts` are the names by which it may be called beside those of the loopback addresses."""
        self._app = app
        self._hosts = frozenset(host.strip("[]").rstrip(".").lower() for host in hosts)
        self._logged: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refused = self._refusal(scope["headers"]) if scope["type"] == "http" else ""
        if not refused:
            await self._app(scope, receive, send)
            return
        if refused not in self._logged and len(self._logged) < _LOGGED:
            self._logged.add(refused)
            _log.warning("a request is refused: %s", refused)
        error = {"code": 403, "message": refused, "status": Code.PERMISSION_DENIED.name}
        await JSONResponse({"error": error}, status_code=403)(scope, receive, send)

    def _refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Say why a request is refused; empty when it is not."""
        found: dict[bytes, list[str]] = {b"host": [], b"origin": [], b"sec-fetch-site": []}
        for name, value in headers:
            if name in found:
                found[name].append(value.decode("latin-1").strip())
        host = found[b"host"][0] if len(found[b"host"]) == 1 else ""
        if not self._is_own(host):
            return (
                f"The emulator is not called {host[:100]!r}; where it is, start it with --allow-host NAME: another "
                "site's name may have been made to point here."
            )
        for origin in found[b"origin"]:
            if origin.lower() != f"http://{host}".lower():
                return f"Web pages may not use the emulator, nor may one of {origin[:100]!r}."
        for site in found[b"sec-fetch-site"]:
            if site.lower() not in _OWN_SITES:
                return "Web pages may not use the emulator."
        return ""

    def _is_own(self, host: str) -> bool:
        match = _is_host(host)
        if match is None:
            return False
        name = match[1].strip("[]").rstrip(".").lower()
        return is_loopback(name) or name in self._hosts
