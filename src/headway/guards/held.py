"""What this process knows of the jobs that it runs, by their leases: changed without reading, and restored when lost.

A store that lost its last second (a Redis that crashed between two writes to disk) may forget a job while it runs. What
its holder remembers is then all that is left of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from headway.guards.base import Entry
from headway.guards.document import ECHO_MS, Document

if TYPE_CHECKING:
    from headway.job import Lease


class Known(Struct, frozen=True):
    """An entry as it was written here last, and what is in it."""

    entry: Entry
    document: Document


class Held:
    """The entries of the jobs that run here. One whose outcome could not be settled is let go in its time."""

    def __init__(self) -> None:
        self._known: dict[Lease, Known] = {}

    def __len__(self) -> int:
        """How many are held."""
        return len(self._known)

    def keep(self, lease: Lease, known: Known, *, now_ms: int) -> None:
        """Remember what was written under the lease."""
        self._known.pop(lease, None)
        self._known[lease] = known
        while True:  # those that were written first stand first
            oldest = next(iter(self._known))
            if oldest == lease or _of_use_until_ms(self._known[oldest].document) > now_ms:
                return
            del self._known[oldest]

    def find(self, lease: Lease | None) -> Known | None:
        """Return what was written under the lease; None: nothing here."""
        return None if lease is None else self._known.get(lease)

    def drop(self, lease: Lease) -> None:
        """Forget the lease: its outcome is settled."""
        self._known.pop(lease, None)

    def lost(self, lease: Lease | None, there: Entry | None, *, now_ms: int) -> Document | None:
        """Return what an entry held that is gone, or cannot be read (`there`); None: it may be somebody else's by now.

        Whoever else ends a job or removes it leaves an entry for `ECHO_MS`: until then only the store can have lost it.
        One that is damaged must be the very one that was written here, or nobody else can have taken the job over yet.
        """
        known = self.find(lease)
        if known is None:
            return None
        if there is None:
            return known.document if _of_use_until_ms(known.document) > now_ms else None
        if there.version == known.entry.version or known.document.lease_until_ms > now_ms:
            return known.document
        return None


def _of_use_until_ms(document: Document) -> int:
    return document.lease_until_ms + ECHO_MS
