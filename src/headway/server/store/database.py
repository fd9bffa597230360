"""The access database: a SQLite file, or PostgreSQL where several hosts serve one app."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from headway.errors import ConfigError, HeadwayError
from headway.server.store.tables import METADATA
from headway.text import redact

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from sqlalchemy import Connection, Executable, RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
_WRITES: Final = "headway_writes"
_BUSY_MS: Final = 10_000
_TRIES: Final = 3  # of making the tables, while another server makes them


class StoreError(HeadwayError):
    """The access database cannot be reached, or refused: nothing was written."""


class Database:
    """The tables of one app. Opened on one event loop."""

    def __init__(self, url: str, app: str) -> None:
        """`url` is `sqlite:///file.db` or `postgresql://...`; ConfigError when it is neither."""
        self.app = app
        self._url = url
        scheme = url.partition("://")[0]
        if scheme not in _DRIVERS:
            msg = f"access: {redact(url)!r} must begin with sqlite:/// or postgresql://"
            raise ConfigError(msg)
        try:
            self._parsed = make_url(_DRIVERS[scheme] + url[len(scheme) :])
        except ArgumentError as error:
            msg = f"access: {redact(url)!r} is no URL of a database"
            raise ConfigError(msg) from error
        self._sqlite = scheme == "sqlite"
        self._engine: AsyncEngine | None = None

    def __repr__(self) -> str:
        """Show where it is, without a password."""
        return f"<Database {redact(self._url)}>"

    @property
    def shown_url(self) -> str:
        """The URL without a password."""
        return redact(self._url)

    async def open(self) -> None:
        """Connect, and make the tables that are missing; StoreError says what is wrong."""
        engine = create_async_engine(
            self._parsed,
            connect_args={"timeout": _BUSY_MS / 1000} if self._sqlite else {"connect_timeout": 10},
            pool_pre_ping=not self._sqlite,
            hide_parameters=True,  # they hold hashes of keys
        )
        if self._sqlite:
            event.listen(engine.sync_engine, "connect", _set_up_sqlite)
            event.listen(engine.sync_engine, "begin", _begin_sqlite)
        self._engine = engine
        for left in reversed(range(_TRIES)):
            try:
                async with self.writing() as connection:
                    await connection.run_sync(METADATA.create_all)
            except StoreError:
                if not left:
                    await self.close()
                    raise
                await asyncio.sleep(0.2)  # another server made them at the same time
            else:
                return

    async def close(self) -> None:
        """Close the connections."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """Yield a connection in a transaction, which is committed at the end; StoreError."""
        async with self._connection(writes=True) as connection, connection.begin():
            yield connection

    async def rows(self, statement: Executable) -> list[RowMapping]:
        """Return what a query finds; StoreError."""
        async with self._connection(writes=False) as connection:
            return list((await connection.execute(statement)).mappings())

    async def write(
        self,
        statement: Executable,
        values: list[Mapping[str, Any]] | None = None,
        *,
        quiet: tuple[type[DBAPIError], ...] = (),
    ) -> int:
        """Execute one change; return how many rows it touched. StoreError, but for those in `quiet`, as they are."""
        async with self._connection(writes=True, quiet=quiet) as connection, connection.begin():
            return int((await connection.execute(statement, values)).rowcount)

    async def check(self) -> None:
        """Ask it for nothing; StoreError when it does not answer."""
        await self.rows(text("SELECT 1"))

    @asynccontextmanager
    async def _connection(
        self, *, writes: bool, quiet: tuple[type[DBAPIError], ...] = ()
    ) -> AsyncGenerator[AsyncConnection]:
        if self._engine is None:
            msg = "the access database is not open"
            raise StoreError(msg)
        try:
            async with self._engine.connect() as connection:
                yield await connection.execution_options(**{_WRITES: writes})
        except quiet:
            raise
        except DBAPIError as error:
            # The driver's own text alone: SQLAlchemy's has the statement and, elsewhere, its values.
            msg = f"the access database {self.shown_url} failed: {redact(str(error.orig))}"
            raise StoreError(msg) from error
        except (SQLAlchemyError, OSError) as error:
            msg = f"the access database {self.shown_url} failed: {type(error).__name__}"
            raise StoreError(msg) from error


def _set_up_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - SQLAlchemy's adapter of the driver's
    connection.isolation_level = None  # transactions are begun below, not by the driver's own guess
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the lock at the beginning: a transaction that reads first and then writes can be refused in the middle."""
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
