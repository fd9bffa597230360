"""Walks through the lists and sets of a queue while others take from them and add to them.

Memory is bounded, and so is each call. A list has no cursor: places shift when a job leaves. So a walk remembers the
ids that it met last, and goes back until it meets one of them again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from headway.migrate.sources.bulls.scripts import SHARED, load_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.migrate.server import SourceServer

STEP: Final = 500  # ids a call: some ten microseconds at the server
_BACK: Final = 500  # entries looked at again, to find the place
_KNOWN: Final = 250  # of these, one must be known
_REMEMBERED: Final = 20_000

Placed = tuple[bytes, bytes]
"""An id and its score, empty in a list."""


class _Recent:
    """The last ids of a walk."""

    def __init__(self) -> None:
        self._order: deque[bytes] = deque()
        self._known: set[bytes] = set()

    def __contains__(self, job_id: bytes) -> bool:
        return job_id in self._known

    def add(self, job_id: bytes) -> None:
        self._order.append(job_id)
        self._known.add(job_id)
        if len(self._order) > _REMEMBERED:
            self._known.discard(self._order.popleft())


async def walk_list(
    server: SourceServer, key: str, *, most: int | None = None
) -> AsyncIterator[list[Placed]]:
    """Yield the ids of a list from its right end, where jobs are run next; of `most` entries, if it is given.

    It ends with what was at the left end when it began: producers may add there as fast as this reads.
    """
    last: bytes | None = await server.command("LINDEX", key, 0)
    left = await _enough(server, "LLEN", key)
    recent = _Recent()
    depth = 0  # how many entries are to the right of the next one
    while left > 0 and (most is None or depth < most):
        low = max(0, depth - _BACK)
        ids = await _slice(server, key, low, low + _BACK + STEP)
        if low and not any(job_id in recent for job_id in ids[:_KNOWN]):
            depth = low  # so many have left meanwhile that none of these is known
            continue
        new = [(low + at, job_id) for at, job_id in enumerate(ids) if job_id not in recent][:STEP]
        if not new:
            if len(ids) < _BACK + STEP:
                return
            depth = low + _BACK + STEP
            continue
        for _, job_id in new:
            recent.add(job_id)
        depth = new[-1][0] + 1
        page = list(dict.fromkeys(job_id for _, job_id in new))
        left -= len(page)
        if last in page:
            yield [(job_id, b"") for job_id in page[: page.index(last) + 1]]
            return
        yield [(job_id, b"") for job_id in page]


async def _enough(server: SourceServer, command: str, key: str) -> int:
    """Return how many ids end a walk in any case: more than there are, for some may come while it goes on."""
    return 2 * int(await server.command(command, key)) + STEP


async def walk_left_end(server: SourceServer, key: str, most: int) -> AsyncIterator[list[Placed]]:
    """Yield the ids at the left end of a list, where new ones come, oldest first."""
    ids = await server.command("LRANGE", key, 0, most - 1)
    ids.reverse()
    for first in range(0, len(ids), STEP):
        yield [(job_id, b"") for job_id in ids[first : first + STEP]]


async def _slice(server: SourceServer, key: str, low: int, high: int) -> list[bytes]:
    """Return the entries between two depths, the rightmost one first."""
    ids: list[bytes] = await server.command("LRANGE", key, -high, -(low + 1))
    ids.reverse()
    return ids


async def walk_set(
    server: SourceServer, key: str, *, after: Placed = (b"", b""), most: int | None = None
) -> AsyncIterator[list[Placed]]:
    """Yield ids and scores of a sorted set in its order, from behind one that was read; of `most` members at most."""
    script = load_script(SHARED, "after")
    member, score = after
    left = await _enough(server, "ZCARD", key) if most is None else most
    while left > 0:
        many = min(STEP, left)
        flat: list[bytes] = await server.run(script, [key], [score, member, many])
        page = list(zip(flat[::2], flat[1::2], strict=True))
        if page:
            yield page
        if len(page) < many:
            return
        member, score = page[-1]
        left -= many
