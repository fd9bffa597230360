"""What the guard asks of a store: entries with a version, swapped by comparing it; nothing else.

All that a guard decides is decided in `transitions`, once, over the entries; a store only keeps them. So a store is
small, and the four of them cannot differ in what becomes of a job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from msgspec import Struct

from headway.errors import CodecError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Entry(Struct, frozen=True):
    """What is kept under one key.

    `version` starts at 1 and grows by one with each swap. `group` and `tag` are what pages and counts go by: the queue
    and the state of a job; other kinds of entries have a group of their own that begins with a colon. Instants are
    milliseconds since 1970 UTC; the store may forget an entry from `forget_ms` on, not before; None: never. What
    cannot be read any more may be given back with empty data.
    """

    key: str
    version: int
    group: str
    tag: str
    changed_ms: int
    forget_ms: int | None
    data: bytes


T = TypeVar("T")


def read_data(entry: Entry, decode: Callable[[bytes], T]) -> T:
    """Decode what an entry holds; CodecError names it, whatever is in it."""
    try:
        return decode(entry.data)
    except (msgspec.MsgspecError, UnicodeError, TypeError, RecursionError) as error:
        msg = f"the guard's entry {entry.key!r} is damaged: {error}"
        raise CodecError(msg) from error


class EntryPage(Struct, frozen=True):
    """Entries, the last keys first, and the cursor of the next page (None: that was the last one)."""

    entries: list[Entry]
    cursor: str | None = None


class GuardStore(Protocol):
    """Keeps entries durably. Raises BrokerUnavailableError from each call, or BrokerRefusedError.

    Each method is one round trip and, on a store that bills them, one command, unless it says otherwise; `commands`
    counts them.
    """

    @property
    def commands(self) -> int:
        """How many commands were sent since it was made."""
        ...

    async def open(self) -> None:
        """Connect; create what is missing. Opening an open store does nothing."""
        ...

    async def close(self) -> None:
        """Release every connection. Closing a closed store does nothing."""
        ...

    async def clock_ms(self) -> int | None:
        """Return what the store's clock shows, in milliseconds since 1970 UTC; None: it is that of this machine."""
        ...

    async def insert(self, entry: Entry, *, now_ms: int) -> Entry | None:
        """Keep the entry (version 1) unless there is one of its key: then change nothing and return that one.

        An entry that is due to be forgotten at `now_ms` counts as not there. Forgets a few others on the way.
        """
        ...

    async def swap(self, entry: Entry, *, now_ms: int) -> bool:
        """Replace the entry of this key if its version is `entry.version - 1`; tell whether it was.

        Repeating a swap that was applied answers True when the entry is the same: a lost answer does no harm.
        """
        ...

    async def delete(self, key: str, version: int) -> bool:
        """Forget the entry of this key if it has this version; tell whether it had."""
        ...

    async def read(self, keys: Sequence[str], *, now_ms: int) -> list[Entry | None]:
        """Return the entries, in the order of the keys."""
        ...

    async def page(
        self,
        *,
        groups: Sequence[str] | None,
        tags: Sequence[str] | None,
        after: str | None,
        limit: int,
        now_ms: int,
    ) -> EntryPage:
        """Return entries of these groups (None: all that do not begin with a colon) and tags (None: all).

        The last keys first: the key of a job tells when it was enqueued, so the newest come first.

        `after` is the cursor of the page before. May take several commands.
        """
        ...

    async def counts(self, *, now_ms: int) -> dict[tuple[str, str], int]:
        """Count the entries of each group and tag; groups that begin with a colon are left out."""
        ...

    async def prune(self, *, now_ms: int, limit: int = 1000) -> int:
        """Forget entries that are due to be forgotten; return how many."""
        ...
