"""A few connections that are used in turn and replaced when they break."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psycopg

from headway.errors import BrokerRefusedError, BrokerUnavailableError
from headway.storage.patience import Unanswered
from headway.storage.redis.replies import ServerRefusesError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from psycopg.sql import Composed

    from headway.guards.stores.postgres.location import Location

Rows: TypeAlias = "list[tuple[Any, ...]]"

_CONNECT_TIMEOUT: Final = 3  # seconds
_KEEPALIVE: Final[dict[str, Any]] = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
# Classes and codes of SQLSTATE after which the same call may succeed: connection, shutdown and start-up, conflict of
# transactions, too many connections, and a standby that is about to become the primary.
_LATER: Final = ("08", "57P", "40", "53300", "55P03", "25006")
# Classes of SQLSTATE that speak of the value: wrong data, a constraint, a program limit, a trigger that raised.
_OF_ONE_VALUE: Final = ("22", "23", "44", "54", "P0", "0A")
_ADVICE: Final = {
    "42501": "the user lacks a right: grant CREATE on the schema once, and SELECT, INSERT, UPDATE, DELETE on the table",
    "28P01": "the password is wrong",
    "28000": "the user may not log in",
    "3D000": "there is no such database",
    "3F000": "there is no such schema: create it, or name another with ?schema=",
    "53100": "its disk is full",
}
_NO_LOGIN: Final = (
    "password authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "no password supplied",
)


class Pool:
    """Up to `connections` of them, opened as they are needed."""

    def __init__(self, location: Location) -> None:
        """Nothing is connected before the first use."""
        self._location = location
        self._idle: list[psycopg.AsyncConnection[Any]] = []
        self._turns = asyncio.Semaphore(location.connections)
        self._open = False
        self.statements = 0

    def open(self) -> None:
        """Allow the use."""
        self._open = True

    async def close(self) -> None:
        """Close the connections; those in use are closed when they come back."""
        self._open = False
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    async def rows(self, query: Composed, values: Mapping[str, object]) -> Rows:
        """Run one statement, its own transaction. Raises Unanswered or BrokerRefusedError."""

        async def run(connection: psycopg.AsyncConnection[Any]) -> Rows:
            cursor = await connection.execute(query, values)
            return await cursor.fetchall() if cursor.description else []

        return await self.use(run)

    async def use(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[Rows]]) -> Rows:
        """Do something with one connection, in autocommit mode.

        One that hangs keeps its turn, also when nobody waits for it any more: a server that hangs is not showered with
        new connections.
        """
        if not self._open:
            msg = f"{self._location.name} is not open: open it before you use it"
            raise BrokerUnavailableError(msg)
        self.statements += 1
        async with self._turns:
            connection: psycopg.AsyncConnection[Any] | None = None
            sound = False
            try:
                connection = await self._take()
                answer = await work(connection)
                sound = True
            except psycopg.Error as error:
                sound = connection is not None and not connection.broken
                raise self._explain(error) from error
            except OSError as error:
                raise Unanswered(str(error)) from error
            except (UnicodeError, OverflowError) as error:
                sound = True
                msg = f"{self._location.name}: a value cannot be stored: {error}"
                raise BrokerRefusedError(msg) from error
            else:
                return answer
            finally:
                if connection is not None:
                    await self._give_back(connection, sound=sound)

    async def _take(self) -> psycopg.AsyncConnection[Any]:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return await psycopg.AsyncConnection.connect(
            self._location.conninfo,
            autocommit=True,
            connect_timeout=_CONNECT_TIMEOUT,
            prepare_threshold=None,  # a named statement does not survive PgBouncer
            application_name="headway guard",
            **_KEEPALIVE,
        )

    async def _give_back(self, connection: psycopg.AsyncConnection[Any], *, sound: bool) -> None:
        if sound and self._open and connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            self._idle.append(connection)
            return
        # What ended one of them has ended the idle ones, too: a call must not try each of those in turn.
        idle: list[psycopg.AsyncConnection[Any]] = []
        if not sound:
            idle, self._idle = self._idle, []
        for one in (connection, *idle):
            with suppress(psycopg.Error, OSError):
                await one.close()

    def _explain(self, error: psycopg.Error) -> Exception:
        state = error.sqlstate or ""
        text = str(error).strip()
        if state.startswith(_LATER) or (
            not state and isinstance(error, psycopg.OperationalError) and not any(map(text.count, _NO_LOGIN))
        ):
            return Unanswered(text)
        told = f"{self._location.name} refused the call: {_ADVICE.get(state, text)}"
        return BrokerRefusedError(told) if state.startswith(_OF_ONE_VALUE) else ServerRefusesError(told)
