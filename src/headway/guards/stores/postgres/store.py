"""The operations of a guard's store on the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headway.errors import BrokerRefusedError
from headway.guards.base import Entry, EntryPage
from headway.guards.stores.postgres.location import parse
from headway.guards.stores.postgres.pool import Pool, Rows
from headway.guards.stores.postgres.statements import make_statements
from headway.storage.patience import Answer, until_answered

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from psycopg.sql import Composed

_LOCK: Final = 0x68656164776179  # "headway": of those who create the table at the same time
_TRIES: Final = 5


class PostgresStore:
    """A GuardStore in the table `headway_guard` of a `postgresql://` URL; several apps may share it."""

    def __init__(self, url: str, *, namespace: str) -> None:
        """ConfigError names what is wrong with the URL."""
        self._location = parse(url)
        self._app = namespace
        self._pool = Pool(self._location)
        self._sql = make_statements(self._location.schema)
        self._created = False

    @property
    def commands(self) -> int:
        """How many statements were sent since it was made."""
        return self._pool.statements

    async def open(self) -> None:
        """Connect; create the table when it is not there."""
        self._pool.open()
        if self._created:
            return
        try:
            await until_answered(self._location.name, lambda: self._pool.use(self._create), opening=True)
        except BaseException:
            await self._pool.close()
            raise
        self._created = True

    async def close(self) -> None:
        """Disconnect."""
        self._created = False
        await self._pool.close()

    async def clock_ms(self) -> int | None:
        """See GuardStore."""
        return int((await self._ask(self._sql.clock)).value[0][0])

    async def insert(self, entry: Entry, *, now_ms: int) -> Entry | None:
        """See GuardStore."""
        answer = await self._ask_until_seen(self._sql.insert, **_values(entry), now=now_ms)
        new, *columns = answer.value[0]
        if new:
            return None
        there = Entry(*columns)
        # When it was asked twice, the first may have kept it and lost its answer.
        return None if answer.repeated and there == entry else there

    async def swap(self, entry: Entry, *, now_ms: int) -> bool:
        """See GuardStore."""
        answer = await self._ask(self._sql.swap, **_values(entry), now=now_ms)
        if not answer.value and answer.repeated:
            # No row: there is none of the version before. The first try may have been applied while this one waited.
            answer = await self._ask(self._sql.swap, **_values(entry), now=now_ms)
        return bool(answer.value and answer.value[0][0])

    async def delete(self, key: str, version: int) -> bool:
        """See GuardStore."""
        return bool((await self._ask(self._sql.delete, key=key, version=version)).value)

    async def read(self, keys: Sequence[str], *, now_ms: int) -> list[Entry | None]:
        """See GuardStore."""
        rows = (await self._ask(self._sql.read, keys=list(keys), now=now_ms)).value
        found = {row[0]: Entry(*row) for row in rows}
        return [found.get(key) for key in keys]

    async def page(
        self,
        *,
        groups: Sequence[str] | None,
        tags: Sequence[str] | None,
        after: str | None,
        limit: int,
        now_ms: int,
    ) -> EntryPage:
        """See GuardStore."""
        answer = await self._ask(
            self._sql.page,
            groups=None if groups is None else list(groups),
            tags=None if tags is None else list(tags),
            after=after,
            limit=limit + 1,
            now=now_ms,
        )
        entries = [Entry(*row) for row in answer.value[:limit]]
        return EntryPage(entries, entries[-1].key if len(answer.value) > limit else None)

    async def counts(self, *, now_ms: int) -> dict[tuple[str, str], int]:
        """See GuardStore."""
        rows = (await self._ask(self._sql.counts, now=now_ms)).value
        return {(group, tag): count for group, tag, count in rows}

    async def prune(self, *, now_ms: int, limit: int = 1000) -> int:
        """See GuardStore."""
        return int((await self._ask(self._sql.prune, now=now_ms, limit=limit)).value[0][0])

    async def _create(self, connection: psycopg.AsyncConnection[Any]) -> Rows:
        there = await (await connection.execute(self._sql.exists)).fetchone()
        if there is not None and there[0] is not None:
            return []  # a user who may not create tables can use one that is there
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            for statement in self._sql.create:
                await connection.execute(statement)
        return []

    async def _ask_until_seen(self, query: Composed, **values: object) -> Answer[Rows]:
        """Ask until there is a row: see `statements`."""
        repeated = False
        for _ in range(_TRIES):
            answer = await self._ask(query, **values)
            repeated = repeated or answer.repeated
            if answer.value:
                return Answer(answer.value, repeated)
        msg = f"{self._location.name}: {values['key']!r} is written and forgotten again and again; call again"
        raise BrokerRefusedError(msg)

    async def _ask(self, query: Composed, **values: object) -> Answer[Rows]:
        values["app"] = self._app
        return await until_answered(self._location.name, lambda: self._pool.rows(query, values))


def _values(entry: Entry) -> dict[str, object]:
    return {
        "key": entry.key,
        "version": entry.version,
        "group": entry.group,
        "tag": entry.tag,
        "changed": entry.changed_ms,
        "forget": entry.forget_ms,
        "data": entry.data,
    }
