"""A Redis by TCP, through a few pooled connections."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final, cast

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from headway.errors import BrokerUnavailableError, ConfigError
from headway.remote.patience import ANSWER_TIMEOUT, Answer, Unanswered, until_answered
from headway.remote.replies import UnknownScriptError, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.remote.base import Script, Word

_CONNECTIONS: Final = 16
_REPLIES: Final = (
    exceptions.ResponseError,
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.BusyLoadingError,
    exceptions.ClusterError,
)
_LAYOUTS: Final = re.compile(r"redis(s?)\+(sentinel|cluster)://")


class TcpRedis:
    """A RedisServer of a `redis://` or `rediss://` URL."""

    def __init__(self, url: str) -> None:
        """ConfigError names what is wrong with the URL."""
        if found := _LAYOUTS.match(url):
            msg = f"{found[0]} is served as a carrier only: give redis{found[1]}:// of one server or endpoint here"
            raise ConfigError(msg)
        self._url = url
        self._pool = self._make_pool()
        kwargs = self._pool.connection_kwargs
        scheme = url.partition("://")[0]
        self._name = (
            f"{scheme}://{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}/{kwargs.get('db', 0)}"
        )
        self._client: Redis | None = None
        self._turns = asyncio.Semaphore(_CONNECTIONS)
        self._commands = 0

    def _make_pool(self) -> ConnectionPool:
        try:
            # Its annotations leave the options open.
            return cast("Callable[..., ConnectionPool]", cast("Any", ConnectionPool).from_url)(
                self._url,
                decode_responses=True,
                protocol=2,
                retry=Retry(NoBackoff(), 0),  # repeated here, where it is known that it was
                socket_timeout=ANSWER_TIMEOUT,
                socket_connect_timeout=ANSWER_TIMEOUT,
                socket_keepalive=True,
                driver_info=None,  # no CLIENT SETINFO: Redis 6.2 does not know it
            )
        except (ValueError, TypeError) as error:
            msg = f"Redis URL: {error}"
            raise ConfigError(msg) from error

    @property
    def name(self) -> str:
        """The URL without secrets."""
        return self._name

    @property
    def commands(self) -> int:
        """How many commands were sent."""
        return self._commands

    async def open(self) -> None:
        """Connect and greet."""
        if self._client is not None:
            return
        self._client = Redis.from_pool(self._pool)
        try:
            await until_answered(self._name, lambda: self._send("PING"), opening=True)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
            self._pool = self._make_pool()

    async def run(self, script: Script, keys: Sequence[str], words: Sequence[Word]) -> Answer[Any]:
        """Run a script."""
        return await until_answered(self._name, lambda: self._evaluate(script, (len(keys), *keys, *words)))

    async def command(self, *words: Word) -> Answer[Any]:
        """Run a command."""
        return await until_answered(self._name, lambda: self._send(*words))

    async def _evaluate(self, script: Script, rest: Sequence[Word]) -> Any:  # noqa: ANN401 - whatever it answers
        try:
            return await self._send("EVALSHA", script.sha, *rest)
        except UnknownScriptError:
            return await self._send("EVAL", script.source, *rest)

    async def _send(self, *words: Word) -> Any:  # noqa: ANN401 - whatever it answers
        if self._client is None:
            msg = f"{self._name} is not open: open it before you use it"
            raise BrokerUnavailableError(msg)
        self._commands += 1
        try:
            # Not redis-py's blocking pool: one that waits there may miss its cancellation.
            async with self._turns:
                return await cast("Any", self._client).execute_command(*words)
        except _REPLIES as error:
            raise explain(
                self._name, f"{getattr(error, 'status_code', None) or ''} {error}".strip()
            ) from error
        except (exceptions.RedisError, OSError) as error:
            raise Unanswered(str(error) or type(error).__name__) from error
        except UnicodeError as error:
            raise explain(self._name, f"a word is no text in UTF-8: {error}") from error
