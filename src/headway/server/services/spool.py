"""The spool of the server's host: what waits there because its carrier is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from headway.routing.failover.entries import Contents

if TYPE_CHECKING:
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared


class SpoolView(Struct, frozen=True):
    """What the spool holds; `full` is the share of its bounds that is taken, 1.0 all of it."""

    contents: Contents
    full: float


class SpoolService:
    """The spool of an app on this host; other hosts have their own."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def read(self, caller: Caller) -> SpoolView | None:
        """Return what it holds; None: the app has no spool, or the caller may not see every queue.

        ConfigError and SpoolError say what is wrong with its file.
        """
        failover = self._shared.app.failover
        if failover is None or not caller.scope.everything:
            return None
        contents = await failover.contents()
        settings = self._shared.app.settings
        return SpoolView(
            contents, max(contents.jobs / settings.spool_limit, contents.size / settings.spool_bytes)
        )
