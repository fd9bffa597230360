"""Reads the jobs of a queue, place by place; one that cannot be read becomes a job with a refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.migrate.found import FoundJob
from headway.migrate.sources.bulls.places import COMPLETED, FAILED, usual_state
from headway.migrate.sources.bulls.reading import UnreadableError, is_text, read_jobs, shown
from headway.migrate.sources.bulls.scripts import SHARED, load_script
from headway.migrate.sources.bulls.walking import walk_left_end, walk_list, walk_set

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from headway.migrate.server import SourceServer
    from headway.migrate.sources.bulls.keys import Keys
    from headway.migrate.sources.bulls.places import Place
    from headway.migrate.sources.bulls.reading import Raw
    from headway.migrate.sources.bulls.walking import Placed

_SMALL: Final = 2000  # entries that are looked through each time
_ENDS: Final = 1000  # of longer ones, so many at each end
_REACH: Final = 10_000  # as in lists.lua


class Pages:
    """The jobs of a source's queues."""

    def __init__(
        self,
        server: SourceServer,
        found: Callable[[Keys, Place, Raw, bool], Awaitable[FoundJob]],
        max_bytes: int,
    ) -> None:
        """`found` makes a job of what was read, in a queue that is paused or not. `max_bytes` of data are read."""
        self._max_bytes = max_bytes
        self._server = server
        self._found = found
        self._seen: dict[str, Placed] = {}  # how far a look at a long set has come

    async def of(
        self, keys: Keys, place: Place, *, paused: bool, fresh: bool
    ) -> AsyncIterator[list[FoundJob]]:
        """Yield the jobs of a place, in its order; with `fresh`, of a long one only where new ones may be."""
        number = await self.count(keys, place)
        if number < 0:
            yield [self._misplaced(keys, place, paused=paused)]
            return
        async for placed in self._walk(keys, place, number, fresh=fresh):
            async for page in self._read(keys, place, placed, paused=paused):
                yield page

    async def count(self, keys: Keys, place: Place) -> int:
        """Return how many jobs lie in a place; -1: something else lies there."""
        return int(
            await self._server.run(
                load_script(SHARED, "count"), [keys.of(place.name)], ["list" if place.is_list else "zset"]
            )
        )

    async def _walk(
        self, keys: Keys, place: Place, number: int, *, fresh: bool
    ) -> AsyncIterator[list[Placed]]:
        key = keys.of(place.name)
        if place.is_list:
            whole = not fresh or number <= _SMALL
            async for page in walk_list(self._server, key, most=None if whole else _ENDS):
                yield page
            if not whole:
                async for page in walk_left_end(self._server, key, _ENDS):
                    yield page
            return
        if not fresh or number <= _SMALL:
            async for page in walk_set(self._server, key):
                yield page
            return
        async for page in walk_set(self._server, key, most=_ENDS):
            yield page
        # New ones may come anywhere: a window of it goes round.
        count = 0
        async for page in walk_set(self._server, key, after=self._seen.get(key, (b"", b"")), most=_ENDS):
            count += len(page)
            self._seen[key] = page[-1]
            yield page
        if count < _ENDS:
            self._seen.pop(key, None)

    async def _read(
        self, keys: Keys, place: Place, placed: Sequence[Placed], *, paused: bool
    ) -> AsyncIterator[list[FoundJob]]:
        known = [one for one in placed if is_text(one[0])]
        strange = [
            self._refused(keys, place, shown(one[0]), "its id is no text in UTF-8", paused=paused)
            for one in placed
            if not is_text(one[0])
        ]
        if strange:
            yield strange
        async for batch in read_jobs(self._server, keys, known, self._max_bytes):
            page: list[FoundJob] = []
            for one, raw in batch:
                if raw is not None and raw.fields["finishedOn"] and place not in {FAILED, COMPLETED}:
                    continue  # it was run to its end since its id was read
                if raw is not None:
                    page.append(await self._one(keys, place, raw, paused=paused))
                elif await self._is_there(keys, place, one):
                    reason = "its record is missing, or is no hash"
                    page.append(self._refused(keys, place, shown(one[0]), reason, paused=paused))
            yield page

    async def _one(self, keys: Keys, place: Place, raw: Raw, *, paused: bool) -> FoundJob:
        try:
            return await self._found(keys, place, raw, paused)
        except UnreadableError as error:
            name = raw.fields["name"]
            return self._refused(
                keys,
                place,
                raw.job_id,
                str(error),
                paused=paused,
                name="" if name.startswith("\0") else name,
                size=raw.size,
            )

    async def _is_there(self, keys: Keys, place: Place, one: Placed) -> bool:
        """Whether a job is still in its place: one that ran meanwhile has left it, and maybe no record."""
        key = keys.of(place.name)
        if not place.is_list:
            return await self._server.command("ZSCORE", key, one[0]) is not None
        at = await self._server.command("LPOS", key, one[0], "RANK", -1, "MAXLEN", _REACH)
        return at is not None

    @staticmethod
    def _refused(
        keys: Keys,
        place: Place,
        job_id: str,
        refusal: str,
        *,
        paused: bool,
        name: str = "",
        size: int = 0,
    ) -> FoundJob:
        return FoundJob(
            source_id=job_id,
            queue=keys.queue,
            state=usual_state(place, paused=paused),
            name=name,
            size=size,
            refusal=refusal,
        )

    def _misplaced(self, keys: Keys, place: Place, *, paused: bool) -> FoundJob:
        expected = "list" if place.is_list else "sorted set"
        reason = f"the key {keys.of(place.name)} is no {expected}: nothing of it was read"
        return self._refused(keys, place, f"({place.name})", reason, paused=paused)
