"""Entries in a Redis, by whatever way it is reached: small scripts (`lua/`) over four keys of one hash slot."""

from __future__ import annotations

import logging
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote, unquote

import msgspec
from msgspec import Struct

from headway.errors import BrokerRefusedError
from headway.guards.base import Entry, EntryPage
from headway.storage.redis.server import load_script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headway.storage.patience import Answer
    from headway.storage.redis.server import RedisServer, Word

_log = logging.getLogger("headway.guard")

_LOOKS: Final = 2000  # keys that one command looks at: bounds how long the server is kept
_PRUNE_AT_ONCE: Final = 1000


class _Packed(Struct, frozen=True, array_like=True):
    """The order of the fields is stored: add new ones at the end, with a default."""

    key: str
    version: int
    group: str
    tag: str
    changed_ms: int
    forget_ms: int | None
    data: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Packed)


class ScriptedStore:
    """A GuardStore in a Redis."""

    def __init__(self, server: RedisServer, namespace: str) -> None:
        """Nothing is connected before `open`."""
        self._server = server
        prefix = f"hw:{{{namespace}}}:guard:"
        self._keys = [prefix + part for part in ("entries", "names", "forget", "counts")]

    @property
    def commands(self) -> int:
        """How many commands were sent since it was made."""
        return self._server.commands

    async def open(self) -> None:
        """Connect."""
        await self._server.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._server.close()

    async def clock_ms(self) -> int | None:
        """See GuardStore."""
        seconds, micros = (await self._server.command("TIME")).value
        return int(seconds) * 1000 + int(micros) // 1000

    async def insert(self, entry: Entry, *, now_ms: int) -> Entry | None:
        """See GuardStore."""
        value = self._pack(entry)
        answer = await self._run("insert", now_ms, entry.key, value)
        if answer.value is None or (answer.repeated and answer.value == value):
            return None  # the latter: it was kept, and that answer was lost
        return self._unpack(answer.value, entry.key)

    async def swap(self, entry: Entry, *, now_ms: int) -> bool:
        """See GuardStore."""
        answer = await self._run("swap", now_ms, entry.key, self._pack(entry), str(entry.version - 1))
        return bool(answer.value)

    async def delete(self, key: str, version: int) -> bool:
        """See GuardStore."""
        return bool((await self._run("delete", key, str(version))).value)

    async def read(self, keys: Sequence[str], *, now_ms: int) -> list[Entry | None]:
        """See GuardStore."""
        if not keys:
            return []
        values = (await self._server.command("HMGET", self._keys[0], *keys)).value
        entries = [
            None if value is None else self._unpack(value, key)
            for key, value in zip(keys, values, strict=True)
        ]
        return [entry if entry is not None and _alive(entry, now_ms) else None for entry in entries]

    async def page(
        self,
        *,
        groups: Sequence[str] | None,
        tags: Sequence[str] | None,
        after: str | None,
        limit: int,
        now_ms: int,
    ) -> EntryPage:
        """See GuardStore. One command for each 2,000 keys that it must look at."""
        found: list[Entry] = []
        place = "+" if after is None else f"({after}"
        kinds = (*_listed(groups), *_listed(tags))
        while place and len(found) <= limit:
            wanted = limit + 1 - len(found)  # one more tells whether there is a next page
            place, *values = cast(
                "list[str]", (await self._run("page", now_ms, place, wanted, _LOOKS, *kinds)).value
            )
            found.extend(entry for entry in map(self._unpack, values) if entry.key)
        return EntryPage(found[:limit], found[limit - 1].key if len(found) > limit else None)

    async def counts(self, *, now_ms: int) -> dict[tuple[str, str], int]:
        """See GuardStore. One command for each 1,000 entries that are due to be forgotten."""
        while True:
            more, *pairs = (await self._run("counts", now_ms, _PRUNE_AT_ONCE)).value
            if not more:
                break
        counts: dict[tuple[str, str], int] = {}
        for kind, count in zip(pairs[::2], pairs[1::2], strict=True):
            group, _, tag = str(kind).partition("/")
            if not group.startswith("%3A"):
                counts[unquote(group), unquote(tag)] = int(count)
        return counts

    async def prune(self, *, now_ms: int, limit: int = 1000) -> int:
        """See GuardStore. One command for each 1,000."""
        gone = 0
        while gone < limit:
            wanted = min(limit - gone, _PRUNE_AT_ONCE)
            some = int((await self._run("prune", now_ms, wanted)).value)
            gone += some
            if some < wanted:
                break
        return gone

    async def _run(self, name: str, *words: Word) -> Answer[Any]:
        return await self._server.run(load_script("headway.guards", name), self._keys, words)

    def _pack(self, entry: Entry) -> str:
        forget = "-" if entry.forget_ms is None else entry.forget_ms
        try:
            data = b64encode(_encoder.encode(_Packed(*msgspec.structs.astuple(entry)))).decode()
            kind = f"{_quoted(entry.group)}/{_quoted(entry.tag)}"
        except (OverflowError, UnicodeEncodeError) as error:
            msg = f"{self._server.name}: a value cannot be stored: {error}"
            raise BrokerRefusedError(msg) from error
        return f"{entry.version} {forget} {kind} {data}"

    def _unpack(self, value: str, key: str = "") -> Entry:
        """Read a value. Of one that is damaged the version is left, or 0: so that its reader can replace it."""
        try:
            version, forget, kind, data = value.split(" ", 3)
            group, _, tag = kind.partition("/")
            forget_ms = None if forget == "-" else int(forget)
            damaged = Entry(key, int(version), unquote(group), unquote(tag), 0, forget_ms, b"")
        except ValueError:
            damaged, data = Entry(key, 0, "", "", 0, None, b""), ""
        try:
            packed = _decoder.decode(b64decode(data, validate=True))
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            _log.warning(
                "%s: the guard's entry %r in %s is damaged: %s", self._server.name, key, self._keys[0], error
            )
            return damaged
        return Entry(*msgspec.structs.astuple(packed))


def _alive(entry: Entry, now_ms: int) -> bool:
    return entry.forget_ms is None or entry.forget_ms > now_ms


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _listed(texts: Iterable[str] | None) -> list[Word]:
    if texts is None:
        return [-1]
    quoted = [_quoted(text) for text in texts]
    return [len(quoted), *quoted]
