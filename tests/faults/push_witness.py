"""A witness beside the guard's store: each change that a receiver tries and makes, one line each, in a file.

A store keeps only what is true now. That a job reached its end once is seen in the history: the changes of one entry
are a chain of versions, and of these exactly one may lead from a waiting or running state into a terminal one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headway.guards.base import Entry, EntryPage, GuardStore

WITNESS = "FAULTS_WITNESS"
_TERMINAL = frozenset(str(state) for state in JobState if state.terminal)


class WitnessedStore:
    """Passes on to a store, and writes down what is tried, and what was applied."""

    def __init__(self, inner: GuardStore, path: str) -> None:
        self._inner = inner
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @property
    def commands(self) -> int:
        return self._inner.commands

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    async def clock_ms(self) -> int | None:
        return await self._inner.clock_ms()

    async def insert(self, entry: Entry, *, now_ms: int) -> Entry | None:
        self._write("try", entry)
        found = await self._inner.insert(entry, now_ms=now_ms)
        self._write("yes" if found is None or found.data == entry.data else "no", entry)
        return found

    async def swap(self, entry: Entry, *, now_ms: int) -> bool:
        self._write("try", entry)
        applied = await self._inner.swap(entry, now_ms=now_ms)
        self._write("yes" if applied else "no", entry)
        return applied

    async def delete(self, key: str, version: int) -> bool:
        return await self._inner.delete(key, version)

    async def read(self, keys: Sequence[str], *, now_ms: int) -> list[Entry | None]:
        return await self._inner.read(keys, now_ms=now_ms)

    async def page(
        self,
        *,
        groups: Sequence[str] | None,
        tags: Sequence[str] | None,
        after: str | None,
        limit: int,
        now_ms: int,
    ) -> EntryPage:
        return await self._inner.page(groups=groups, tags=tags, after=after, limit=limit, now_ms=now_ms)

    async def counts(self, *, now_ms: int) -> dict[tuple[str, str], int]:
        return await self._inner.counts(now_ms=now_ms)

    async def prune(self, *, now_ms: int, limit: int = 1000) -> int:
        return await self._inner.prune(now_ms=now_ms, limit=limit)

    def _write(self, what: str, entry: Entry) -> None:
        digest = hashlib.blake2b(entry.data, digest_size=8).hexdigest()
        line = {"what": what, "key": entry.key, "version": entry.version, "tag": entry.tag, "data": digest}
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Chain:
    """The versions of one entry, as they were tried and applied."""

    def __init__(self) -> None:
        self._tried: dict[int, dict[str, str]] = defaultdict(dict)  # version -> digest -> tag
        self._applied: dict[int, dict[str, str]] = defaultdict(dict)
        self._refused: dict[int, set[str]] = defaultdict(set)

    def add(self, line: dict[str, Any]) -> None:
        """Take a line of the witness."""
        version, digest, tag = line["version"], line["data"], line["tag"]
        match line["what"]:
            case "try":
                self._tried[version][digest] = tag
            case "yes":
                self._applied[version][digest] = tag
            case _:
                self._refused[version].add(digest)

    def faults(self, last: Entry) -> list[str]:
        """Say what is wrong, given the entry that the store has in the end."""
        found: list[str] = []
        ends = 0
        before = ""
        for version in range(1, last.version + 1):
            tags = self._tags(version) if version < last.version else {last.tag}
            if len(self._applied[version]) > 1:
                found.append(f"version {version} was applied {len(self._applied[version])} times")
            if not tags:
                found.append(f"version {version} was made by nobody")
            elif len(tags) > 1 and tags & _TERMINAL:
                found.append(f"version {version} may have been any of {sorted(tags)}")
            tag = min(tags, default="")
            ends += tag in _TERMINAL and before not in _TERMINAL
            if before in _TERMINAL and tag not in _TERMINAL:
                found.append(f"version {version} leads from {before} to {tag}")
            before = tag
        if ends != 1:
            found.append(f"{ends} terminal transitions")
        return found

    def _tags(self, version: int) -> set[str]:
        """Who was killed between its change and its line leaves a doubt: then all that were tried and not refused."""
        applied = self._applied[version]
        if applied:
            return set(applied.values())
        return {tag for digest, tag in self._tried[version].items() if digest not in self._refused[version]}


def chains_of(path: Path) -> dict[str, Chain]:
    """Read the file, by key; a line that is being written is left out."""
    chains: dict[str, Chain] = defaultdict(Chain)
    for line in path.read_bytes().split(b"\n")[:-1]:
        fields = json.loads(line)
        chains[fields["key"]].add(fields)
    return chains
