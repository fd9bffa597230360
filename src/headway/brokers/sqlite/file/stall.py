"""The file was kept from others for long: the leases that ran out meanwhile are those of workers that may well live.

A transaction stays open for as long as its process is frozen, or a handler holds the GIL under the thread that
writes. Every heartbeat waits behind it, so a lease runs out although its worker and its supervisor live. Therefore a
transaction that kept the file, or waited for it, for longer than a quarter of a second notes the stall. For a second
from then on leases that ran out in the stall are left alone, so that the heartbeats come first; and a heartbeat counts
from the instant at which it was asked for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.brokers.sqlite.file.ticks import machine_ms, tick_ms

if TYPE_CHECKING:
    import sqlite3

    from headway.clock import Clock

_STALL_SECONDS: Final = 0.25
_SPARED_MS: Final = 1000  # SQLite looks at least ten times in it whether the file is free
_MARGIN_MS: Final = 250  # a lease may run out while its heartbeat is next


class Asked(NamedTuple):
    """The instant at which a transaction was asked for, by the time that leases end by and by this process's own."""

    tick: int
    monotonic: float

    @classmethod
    def now(cls, clock: Clock) -> Asked:
        """Return the present one."""
        return cls(tick_ms(clock), time.monotonic())

    @property
    def is_long_ago(self) -> bool:
        """Whether the file was kept, or waited for, long enough since then to be noted."""
        return time.monotonic() - self.monotonic > _STALL_SECONDS


class Stall(NamedTuple):
    """Leases that ran out between `from_ms` and `to_ms` are spared.

    `spared_until_ms` is an instant of this machine, whatever clock the jobs live by.
    """

    from_ms: int
    to_ms: int
    spared_until_ms: int

    @property
    def left_ms(self) -> int:
        """For how long they are spared yet; 0: they are not, or no more."""
        return max(0, min(self.spared_until_ms - machine_ms(), _SPARED_MS))

    def spares(self, until_ms: int) -> bool:
        """Tell whether the lease that ran out at this instant is to be left alone now."""
        return self.left_ms > 0 and self.from_ms <= until_ms <= self.to_ms

    def extended(self, asked: Asked, tick: int) -> Stall:
        """Add what was kept or waited since `asked`. While one is in force it is widened, and ends no later for that.

        Else, where all wait for long all the time, the jobs of a dead worker would never come back.
        """
        end = tick + _MARGIN_MS
        if self.left_ms > 0:
            return Stall(min(self.from_ms, asked.tick), max(self.to_ms, end), self.spared_until_ms)
        return Stall(asked.tick, end, machine_ms() + _SPARED_MS)

    def write(self, db: sqlite3.Connection) -> None:
        """Write it down for all apps of the file."""
        db.execute("UPDATE app SET stalled_from_ms = ?, stalled_to_ms = ?, spared_until_ms = ?", self)
