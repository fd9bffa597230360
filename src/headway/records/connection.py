"""The connections to the records' database, and its errors in words."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import (
    TimeoutError as NoTurn,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from headway.errors import RecordsUnavailableError
from headway.records.url import Place, engine_options

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_LATER: Final = (InterfaceError, OperationalError, NoTurn)
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "busy_timeout = 20000",
    "cache_size = -65536",
)


def open_engine(place: Place) -> AsyncEngine:
    """Return an engine that has connected to nothing yet."""
    engine = create_async_engine(place.address, hide_parameters=True, **engine_options(place))
    if place.is_sqlite:
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: object) -> None:  # noqa: ANN401 - the driver's
    connection.isolation_level = None  # the driver would begin and commit by itself, also within a migration
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@asynccontextmanager
async def transaction(engine: AsyncEngine, name: str, *, writing: bool) -> AsyncGenerator[AsyncConnection]:
    """Begin, and commit or roll back; RecordsUnavailableError says what the database said."""
    try:
        async with engine.connect() as connection:
            connection = await connection.execution_options(writing=writing)  # noqa: PLW2901 - the same one
            async with connection.begin():
                yield connection
    except (SQLAlchemyError, OSError) as error:
        raise explained(error, name) from error


def explained(error: Exception, name: str) -> RecordsUnavailableError:
    """Return what a database said, without the statement and its values."""
    said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    first = next(iter(said.strip().splitlines()), type(error).__name__)
    state = "cannot be reached" if isinstance(error, (*_LATER, OSError)) else "answered with an error"
    return RecordsUnavailableError(f"the records in {name}: the database {state}: {first[:300]}")
