"""Opens the file again when it was lost while open (deleted, replaced): whatever its path names then."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from headway.brokers.sqlite.file.opening import Opened
from headway.errors import BrokerUnavailableError
from headway.storage.sqlite.identity import OTHERS_NOTICE_S

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from headway.brokers.base import BrokerSettings
    from headway.brokers.sqlite.location import Location
    from headway.clock import Clock
    from headway.storage.sqlite.identity import FileLoss

_log: Final = logging.getLogger("headway.sqlite")

_AGAIN_S: Final = 0.5  # between tries to open the file again


class Renewal:
    """Opens and closes the file. Lives on one loop."""

    def __init__(self, location: Location, settings: BrokerSettings, clock: Clock) -> None:
        """Nothing is opened yet."""
        self._location = location
        self._settings = settings
        self._clock = clock
        self._state: Opened | None = None
        self._switch = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self._away = ""  # why nothing is open, while it should be

    @property
    def state(self) -> Opened | None:
        """The opening in use, if any; from any thread."""
        return self._state

    @property
    def opened(self) -> Opened:
        """The opening in use; BrokerUnavailableError says why there is none."""
        if self._state is None:
            why = self._away or "the carrier is not open; use `async with`, or call open() first"
            msg = f"{self._location.name}: {why}"
            raise BrokerUnavailableError(msg)
        return self._state

    async def open(self) -> None:
        """Open the file, creating or upgrading it. Opening what is open does nothing."""
        async with self._switch:
            if self._state is None and self._renewing is None:
                self._state = await self._start(self._location.anchored())

    async def close(self) -> None:
        """Finish what was queued and close the file. Closing what is closed does nothing."""
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        async with self._switch:
            self._away = ""
            state, self._state = self._state, None
            if state is not None:
                await asyncio.shield(state.stop())

    async def successor(self, before: Opened) -> Opened | None:
        """Wait for what is open in place of a file that was lost; None: it was not, or the carrier was closed."""
        while before.lost is not None and (self._state is None or self._state is before):
            if self._renewing is None:
                return None
            await asyncio.wait([self._renewing])
        return None if before.lost is None else self._state

    async def _start(self, location: Location) -> Opened:
        state = Opened(location, self._settings, self._clock, self._lost)
        try:
            await state.start()
            state.file.verify()
        except BaseException:
            await state.stop()
            raise
        return state

    def _lost(self, state: Opened, loss: FileLoss) -> None:
        if state is not self._state:
            return  # found at the opening, which fails
        _log.error(
            "%s: %s; %s. What the path names now is opened",
            state.location.name,
            loss.said,
            "jobs that are not in the file that stands there now are not run"
            if loss.whole
            else "what stood in it is saved, unless another process has begun a new one",
        )
        self._away = f"{loss.said}, and it is being opened again: repeat the call in a moment"
        self._state = None
        self._renewing = asyncio.get_running_loop().create_task(self._renew(state, loss))

    async def _renew(self, before: Opened, loss: FileLoss) -> None:
        since = time.monotonic()
        try:
            await _whole(before.stop())
        except OSError as error:  # its connections stay open: another one would share their view of the log
            self._away = (
                f"{loss.said}, another process has begun a new one, and {error}: start this process again"
            )
            _log.critical("%s: %s", before.location.name, self._away)
            return
        if not loss.whole:
            await asyncio.sleep(OTHERS_NOTICE_S)
        said = ""
        while self._state is None:
            try:
                self._state = await self._start(before.location)
            except Exception as error:  # noqa: BLE001 - whatever is there now, something better may come
                self._away = f"{loss.said}, and cannot be opened again: {error}"
                if str(error) != said:
                    said = str(error)
                    _log.error("%s: %s", before.location.name, self._away)
                await asyncio.sleep(_AGAIN_S)
        self._away = ""
        self._renewing = None
        _log.warning("%s: open again, after %.1f s", before.location.name, time.monotonic() - since)


async def _whole(work: Coroutine[object, object, None]) -> None:
    """Await it to its end, also when that is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
