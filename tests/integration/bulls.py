"""What tests of BullMQ and Bull share: the four libraries, their words, and a look at what lies in the Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headway.migrate import ids
from headway.migrate.found import FoundState
from headway.migrate.source import Back, Status, Stays, Wanted, WantedSchedule
from headway.migrate.sources.bull import BullSource
from headway.migrate.sources.bullmq import BullmqSource

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headway.migrate.found import FoundJob, FoundSchedule
    from headway.migrate.source import Taken
    from tests.servers.resp import Connection, Reply

Source = BullmqSource | BullSource
ALL: Final = tuple(FoundState)
# What no test compares: the events, and what says "look" to a worker.
_PASSING: Final = ("stalled-check", "events", "marker", "pc", "id")


def source_of(library: str, url: str, prefix: str) -> Source:
    """Make the source for a library's jobs."""
    return BullmqSource(url, prefix=prefix) if is_bullmq(library) else BullSource(url, prefix=prefix)


def is_bullmq(library: str) -> bool:
    """Whether it is BullMQ rather than Bull."""
    return library.startswith("bullmq")


def cron(library: str, pattern: str, **more: Any) -> dict[str, Any]:
    """Write a cron pattern in the library's word."""
    return {"pattern" if is_bullmq(library) else "cron": pattern, **more}


def dedup(library: str, key: str, **more: Any) -> dict[str, Any]:
    """Write a deduplication in the library's words."""
    return {"deduplication" if is_bullmq(library) else "debounce": {"id": key, **more}}


async def read(source: Source, queue: str, states: Collection[FoundState] = ALL) -> list[FoundJob]:
    """Return the jobs of a queue, in the source's order."""
    return [job async for page in source.pages(queue, states) for job in page]


async def answers(source: Source, queue: str, jobs: Sequence[FoundJob]) -> list[Taken | Stays | None]:
    """Take jobs."""
    return await source.take(queue, [Wanted(job, ids.entry_id(source, job), b"intent", "") for job in jobs])


async def take(source: Source, queue: str, jobs: Sequence[FoundJob]) -> list[Taken | None]:
    """Take jobs of which none lies too far away."""
    taken: list[Taken | None] = []
    for one in await answers(source, queue, jobs):
        assert not isinstance(one, Stays)
        taken.append(one)
    return taken


async def take_schedule(source: Source, one: FoundSchedule) -> Taken | None:
    """Take a repeating entry."""
    wanted = WantedSchedule(one, ids.schedule_entry_id(source, one), b"intent")
    return await source.take_repeatable(one.queue, wanted)


async def revert_all(source: Source, queue: str) -> int:
    """Put back all that was taken, and return how many that were."""
    page = await source.entries(queue)
    count = 0
    for entry in page.entries:
        back = Back(entry.entry_id, entry.source_id, Status.REVERTED, "")
        if entry.schedule:
            count += await source.put_back_repeatable(queue, back)
        else:
            count += (await source.put_back(queue, [back]))[0]
    return count


def everything(connection: Connection, prefix: str) -> dict[str, Reply]:
    """Return all that lies below a prefix, without what passes by itself."""
    found: dict[str, Reply] = {}
    cursor: Any = "0"
    while True:
        answer: Any = connection.call("SCAN", cursor, "MATCH", f"{prefix}:*", "COUNT", 1000)
        cursor, keys = answer
        for key in keys:
            if key.rpartition(":")[2] not in _PASSING:
                found[key] = _content(connection, key)
        if cursor == "0":
            return found


def _content(connection: Connection, key: str) -> Reply:
    match connection.call("TYPE", key):
        case "hash":
            flat: Any = connection.call("HGETALL", key)
            return sorted(zip(flat[::2], flat[1::2], strict=True))  # type: ignore[return-value] # a reply is nested lists
        case "list":
            return connection.call("LRANGE", key, 0, -1)
        case "zset":
            return connection.call("ZRANGE", key, 0, -1, "WITHSCORES")
        case "set":
            members: Any = connection.call("SMEMBERS", key)
            return sorted(members)
        case _:
            return connection.call("GET", key)
