"""The file as it was opened, for all threads: the one that finds it lost notifies the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.errors import BrokerUnavailableError
from headway.storage.sqlite.identity import FileCheck, Holder, clear_leftovers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from headway.brokers.sqlite.location import Location
    from headway.storage.sqlite.identity import FileLoss


class OpenFile:
    """Knows whether the file is still the one that was opened; `lost` is called on each thread that notices."""

    def __init__(self, location: Location, lost: Callable[[FileLoss], None]) -> None:
        """Nothing is opened yet."""
        self._location = location
        self._lost = lost
        self._check: FileCheck | None = None
        self.loss: FileLoss | None = None

    def prepare(self) -> None:
        """Note what is there before the file is opened, which creates it when it is missing."""
        clear_leftovers(self._location.path)

    def opened(self) -> None:
        """Remember, after the first transaction, that this file, its log and its index are the ones in use."""
        self._check = FileCheck(self._location.path)

    def verify(self, *, now: bool = False) -> None:
        """BrokerUnavailableError when the file is not there any more, or another one is in its place.

        `now`: after an error, look although somebody looked a moment ago.
        """
        if self.loss is None and self._check is not None and (loss := self._check.loss(now=now)) is not None:
            self._lost(loss)  # first: code that sees `loss` set relies on this call
            self.loss = loss
        if self.loss is not None:
            msg = (
                f"{self._location.name}: {self.loss.said}; nothing was written. What the path names now is opened: "
                "repeat the call in a moment"
            )
            raise BrokerUnavailableError(msg)

    def close(self, db: sqlite3.Connection) -> None:
        """Close the connection that wrote; of a file that was lost save what can be saved."""
        if self.loss is None or self._check is None:
            db.close()
            return
        self._check.identity.save_log(db)
        db.close()
        self._check.identity.clear_away()

    @property
    def superseded(self) -> bool:
        """Whether closing all connections would harm what other processes have written: then hold it meanwhile."""
        return self._check is not None and self._check.identity.superseded

    def hold(self) -> Holder:
        """Start what makes closing harmless; OSError."""
        return Holder(self._location.path)
