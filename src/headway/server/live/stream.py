"""What one reader gets: what it has missed, then what happens, until it leaves or is too slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from headway.clock import from_ms
from headway.events import EventKind
from headway.server.access.caller import EVERYTHING, Scope
from headway.server.live.backfill import Backfill
from headway.server.live.board import Topic
from headway.server.live.places import Places, write_places
from headway.server.live.ring import framed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.events import Event
    from headway.server.live.board import Board, Entry
    from headway.server.live.hub import Hub

KEEP_ALIVE: Final = 15.0
"""Seconds without anything to send after which a comment is sent, with the id up to which all was seen."""
_RETRY_MS: Final = 2000
_TRIES: Final = 10  # of reading what was missed, while what is in memory moves on


class Wanted(Struct, frozen=True):
    """What a reader wants to hear of; none named is all of it."""

    topics: frozenset[Topic] = frozenset({Topic.JOBS})
    queues: frozenset[str] = frozenset()
    kinds: frozenset[EventKind] = frozenset()
    jobs: frozenset[str] = frozenset()
    scope: Scope = EVERYTHING

    @property
    def everything(self) -> bool:
        """True when no event of a job is left out."""
        return not (self.queues or self.kinds or self.jobs or self.scope.queues)

    def has(self, event: Event) -> bool:
        """Tell whether an event is meant."""
        return (
            self.has_queue(event.queue)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.jobs or event.job_id in self.jobs)
        )

    def has_queue(self, queue: str) -> bool:
        """Tell whether what concerns a queue is meant."""
        return self.scope.has_queue(queue) and (not self.queues or queue in self.queues)


class Stream:
    """One reader's stream."""

    def __init__(self, hub: Hub, board: Board, wanted: Wanted, last: Places | None) -> None:
        """`last` is up to where it has read before; None: it begins now."""
        self._hub = hub
        self._board = board
        self._wanted = wanted
        self._last = last
        self._cursors: dict[str, str] = {}  # how far this reader is on each carrier, until it is one of many
        self._seen: dict[str, int] = {}  # the number of the last frame that it has of each carrier
        self._position = 0  # up to here it has all frames, but for those that `_seen` says
        self._version = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent."""
        hub, topics = self._hub, self._wanted.topics
        hub.readers += 1
        self._board.want(topics)
        try:
            yield f"retry: {_RETRY_MS}\n\n".encode()
            async for chunk in self._missed():
                yield chunk
            yield self._hello()
            while not hub.closed:
                if self._position < hub.ring.start:
                    yield told("cut", {"why": "this reader is too slow; connect again"})
                    return
                chunk = self._next_events() or self._next_states()
                if chunk:
                    yield chunk
                elif self._position == hub.ring.end:
                    await hub.wait(KEEP_ALIVE)
                    if self._position == hub.ring.end and self._version == self._board.version:
                        yield f": keep-alive\nid: {self._id()}\n\n".encode()
            yield told("bye", {"why": "the server stops; connect again"})
        finally:
            hub.readers -= 1
            self._board.leave(topics)

    def _next_events(self) -> bytes:
        """Return the next events, empty when none of them is meant; nothing is awaited here."""
        ring = self._hub.ring
        if Topic.JOBS not in self._wanted.topics:
            self._position = ring.end
            return b""
        alone = max(self._seen.values(), default=0)
        if self._position < alone:  # a part of these it has: with the places of this reader alone
            return self._own_events(alone)
        frames = list(ring.behind(self._position))
        if not frames:
            return b""
        position, self._position = self._position, frames[-1].number
        if self._wanted.everything:
            return ring.joined(position)
        return b"".join(frame.sent for frame in frames if self._wanted.has(frame.event))

    def _own_events(self, until: int) -> bytes:
        found = bytearray()
        for frame in self._hub.ring.behind(self._position):
            if frame.number > until:
                break
            self._position = frame.number
            if frame.number > self._seen.get(frame.carrier, until):
                self._cursors[frame.carrier] = frame.event.cursor
                if self._wanted.has(frame.event):
                    found += framed(frame.content, write_places(self._now(), self._cursors))
        return bytes(found)

    def _next_states(self) -> bytes:
        """Return how things stand that have changed."""
        version = self._board.version
        news = self._board.since(self._version, self._wanted.topics)
        sent = b"".join(entry.sent for topic, name, entry in news if self._may_see(topic, name, entry))
        self._version = version
        return sent

    def _may_see(self, topic: Topic, name: str, _: Entry) -> bool:
        return topic in {Topic.WORKERS, Topic.MIGRATIONS} or self._wanted.has_queue(name)

    async def _missed(self) -> AsyncIterator[bytes]:
        """Yield what was missed and is not in memory, and find the place from which to go on."""
        hub, last = self._hub, self._last
        ring = hub.ring
        self._position = ring.end
        self._cursors = dict(ring.cursors)
        if last is None or Topic.JOBS not in self._wanted.topics:
            return
        if last.at_ms < hub.since_ms and not hub.records_always:
            why = "nobody watched for some time, and events are not recorded then"
            yield told("missed", {"from": from_ms(last.at_ms), "until": from_ms(hub.since_ms), "why": why})
        behind = {name: last.cursors[name] for name in hub.sources if name in last.cursors}
        self._cursors |= behind
        for _ in range(_TRIES):
            away = [name for name in behind if ring.number_of(name, self._cursors[name]) is None]
            if not away:
                break
            for name in away:
                async with hub.backfills:
                    backfill = Backfill(ring, hub.sources[name], self._cursors, self._wanted.has, self._now)
                    async for chunk in backfill.chunks(last.at_ms):
                        yield chunk
        # Nothing is awaited from here until the first events are taken.
        for name in hub.sources:
            number = ring.number_of(name, self._cursors[name])
            self._seen[name] = ring.end if number is None else number
        self._position = min(self._seen.values(), default=ring.end)

    def _hello(self) -> bytes:
        data = {
            "app": self._hub.shared.app.name,
            "carriers": list(self._hub.sources),
            "silent": self._hub.silent,
        }
        return framed(told("hello", data), write_places(self._now(), self._cursors))

    def _id(self) -> str:
        return write_places(self._now(), self._hub.ring.cursors)

    def _now(self) -> int:
        return self._hub.shared.app.clock.now_ms()


def told(kind: str, data: dict[str, Any]) -> bytes:
    """Return something that is said of the stream itself."""
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"
