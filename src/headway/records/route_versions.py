"""Which version of the routes was in force when a job came to its carrier."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError, CodecError
from headway.routing.changing import routes_history

if TYPE_CHECKING:
    from headway.brokers.base import ControlStore

_EVERY_MS: Final = 2000


class RouteVersions:
    """The instants at which the routes changed, read again every two seconds."""

    def __init__(self, control: ControlStore | None) -> None:
        """None: an app of one carrier has no routes."""
        self._control = control
        self._since: list[int] = []
        self._versions: list[int] = []
        self._read_ms = 0

    async def freshen(self, now_ms: int) -> None:
        """Learn of changes; who cannot be asked is asked again."""
        if self._control is None or now_ms - self._read_ms < _EVERY_MS:
            return
        self._read_ms = now_ms
        try:
            tables = (await routes_history(self._control))[::-1]
        except (BrokerError, CodecError):
            return
        self._since = [one.when_ms for one in tables]
        self._versions = [one.version for one in tables]

    def at(self, instant_ms: int) -> int | None:
        """Return the version that was in force then; None: the routes of the settings, or not known."""
        place = bisect_right(self._since, instant_ms)
        return self._versions[place - 1] if place else None
