"""How things stand with queues, workers, roll-outs and migrations: looked at each second while somebody wants to know.

Each entry has a version. Who reads gets the entries with a later version than the last one they saw: somebody slow
misses what was in between, never how it is now.
"""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

import msgspec

from headway.server.access.caller import Caller, Role
from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from headway.migrate.viewing import MigrationSummary
    from headway.server.services.migrations import Migrations
    from headway.server.services.queues import Queues
    from headway.server.services.rollouts import Rollouts
    from headway.server.services.workers import Workers

_log: Final = logging.getLogger("headway.server")
_EVERY: Final = 1.0  # seconds
_ALL: Final = Caller("live events", Role.READ)
# What changes with each look and says nothing new.
_PASSING: Final = frozenset({"oldest_ready_age_ms", "lease_until", "looked_at", "seen_at"})


class Topic(StrEnum):
    """What can be watched."""

    JOBS = "jobs"
    QUEUES = "queues"
    WORKERS = "workers"
    ROLLOUTS = "rollouts"
    MIGRATIONS = "migrations"


class Entry(NamedTuple):
    """One queue, worker, roll-out or migration, as it is now."""

    version: int
    known: Any
    sent: bytes


class Board:
    """How things stand."""

    def __init__(
        self,
        queues: Queues,
        workers: Workers,
        rollouts: Rollouts,
        migrations: Migrations,
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called when there is something new."""
        self._queues = queues
        self._workers = workers
        self._rollouts = rollouts
        self._migrations = migrations
        self._changed = changed
        self._version = 0
        self._entries: dict[Topic, dict[str, Entry]] = {}
        self._wanted: dict[Topic, int] = {}
        self._asked = asyncio.Event()
        self.services = Services(_log, "live events")

    def start(self) -> None:
        """Begin to look, once somebody wants to know."""
        self.services.start("board", self._look)

    async def stop(self) -> None:
        """Look no more."""
        await self.services.stop()

    def want(self, topics: frozenset[Topic]) -> None:
        """Note that somebody watches."""
        for topic in topics - {Topic.JOBS}:
            self._wanted[topic] = self._wanted.get(topic, 0) + 1
        self._asked.set()

    def leave(self, topics: frozenset[Topic]) -> None:
        """Note that somebody does no more."""
        for topic in topics - {Topic.JOBS}:
            self._wanted[topic] -= 1
            if not self._wanted[topic]:
                del self._wanted[topic]
                self._entries.pop(topic, None)

    def since(self, version: int, topics: frozenset[Topic]) -> Iterator[tuple[Topic, str, Entry]]:
        """Return the entries with a later version."""
        if version >= self._version:
            return
        for topic in topics & self._entries.keys():
            for name, entry in list(self._entries[topic].items()):
                if entry.version > version:
                    yield topic, name, entry

    @property
    def version(self) -> int:
        """The latest."""
        return self._version

    async def _look(self) -> float:
        if not self._wanted:
            self._asked.clear()
            await self._asked.wait()
        before = self._version
        for topic in tuple(self._wanted):
            self._note(topic, await self._found(topic))
        if self._version != before:
            self._changed()
        return _EVERY

    async def _found(self, topic: Topic) -> dict[str, Any]:
        match topic:
            case Topic.QUEUES:
                return {one.name: msgspec.to_builtins(one) for one in await self._queues.list(_ALL)}
            case Topic.WORKERS:
                workers = await self._workers.list(_ALL)
                return {f"{one.carrier} {one.id}": msgspec.to_builtins(one) for one in workers}
            case Topic.ROLLOUTS:
                return {one.queue: msgspec.to_builtins(one) for one in await self._rollouts.list(_ALL)}
            case Topic.MIGRATIONS:
                return {one.id: _of_migration(one) for one in await self._migrations.list(_ALL)}
            case Topic.JOBS:
                return {}
            case _:
                assert_never(topic)

    def _note(self, topic: Topic, found: dict[str, Any]) -> None:
        if topic not in self._wanted:
            return
        entries = self._entries.setdefault(topic, {})
        kind = str(topic)[:-1]
        for name, value in found.items():
            known = {key: part for key, part in value.items() if key not in _PASSING}
            if name not in entries or entries[name].known != known:
                self._version += 1
                entries[name] = Entry(self._version, known, _frame(kind, value))
        for name in [one for one, entry in entries.items() if one not in found and entry.known is not None]:
            self._version += 1
            last = entries[name].known
            gone = {key: last[key] for key in ("id", "name", "queue", "carrier") if key in last}
            entries[name] = Entry(self._version, None, _frame(kind, {**gone, "gone": True}))


def _of_migration(one: MigrationSummary) -> dict[str, Any]:
    """Return it without the run's own instants, which change with each word of it and say nothing new."""
    value: dict[str, Any] = msgspec.to_builtins(one)
    if value["run"] is not None:
        value["run"] = {key: part for key, part in value["run"].items() if key not in _PASSING}
    return value


def _frame(kind: str, value: Any) -> bytes:  # noqa: ANN401 - any value of JSON
    return f"event: {kind}\ndata: ".encode() + msgspec.json.encode(value) + b"\n\n"
