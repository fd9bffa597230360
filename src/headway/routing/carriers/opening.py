"""Opening several carriers: one that is away when a process starts keeps it from the others no more than later."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerUnavailableError
from headway.service import Outage, Services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import Store

_log = logging.getLogger("headway.carriers")
_OPENED: Final = 3600.0  # seconds: there is nothing left to do


class Opening:
    """Opens carriers, and goes on with those that cannot be reached."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = stores
        self.services: list[Services] = []
        """Of the carriers that were away, one loop each."""

    async def open(self) -> None:
        """Open all at once; those that are away are opened when they are back, and their calls fail until then.

        Raises what the first one raised when none can be reached, or one is refused or set up wrongly.
        """
        told = await asyncio.gather(*(one.open() for one in self._stores.values()), return_exceptions=True)
        failed = {
            name: error
            for name, error in zip(self._stores, told, strict=True)
            if isinstance(error, BaseException)
        }
        for error in failed.values():
            if len(failed) == len(self._stores) or not isinstance(error, BrokerUnavailableError):
                raise error
        for name, error in failed.items():
            self._open_later(name, error)

    def _open_later(self, name: str, error: BaseException) -> None:
        store = self._stores[name]

        async def again() -> float:
            await store.open()
            return _OPENED

        outage = Outage(_log, f"carrier {name}")
        services = Services(_log, f"carrier {name}", outage=outage)
        self.services.append(services)
        outage.lost("open", error)
        services.start("open", again)

    async def close(self) -> None:
        """Go on with none."""
        while self.services:
            await self.services.pop().stop()
