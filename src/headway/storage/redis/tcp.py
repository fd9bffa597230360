"""A Redis by TCP, through a few pooled connections."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final, cast

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from headway.addresses import checked_address, option_in
from headway.errors import ConfigError
from headway.storage.patience import ANSWER_TIMEOUT, Unanswered, until_answered
from headway.storage.redis.replies import explain
from headway.storage.redis.server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.storage.redis.server import Word

_CONNECTIONS: Final = 16
_REPLIES: Final = (
    exceptions.ResponseError,
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.BusyLoadingError,
    exceptions.ClusterError,
)
_LAYOUTS: Final = re.compile(r"redis(s?)\+(sentinel|cluster)://")


class TcpRedis(RedisServer):
    """A RedisServer of a `redis://` or `rediss://` URL."""

    def __init__(self, url: str) -> None:
        """ConfigError names what is wrong with the URL."""
        if found := _LAYOUTS.match(url):
            msg = f"{found[0]} is served as a carrier only: give redis{found[1]}:// of one server or endpoint here"
            raise ConfigError(msg)
        checked_address(url, "Redis URL")
        self._url = url
        self._pool = self._make_pool()
        kwargs = self._pool.connection_kwargs
        scheme = url.partition("://")[0]
        super().__init__(
            f"{scheme}://{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}/{kwargs.get('db', 0)}"
        )
        self._client: Redis | None = None
        self._turns = asyncio.Semaphore(_CONNECTIONS)

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
            # What it says may repeat a part of the URL.
            msg = f"Redis URL: {option_in(str(error))} is wrong: write redis://user:password@host:6379/0"
            raise ConfigError(msg) from None

    async def open(self) -> None:
        """Connect and greet."""
        if self._client is not None:
            return
        self._client = Redis.from_pool(self._pool)
        try:
            await until_answered(self.name, lambda: self._send("PING"), opening=True)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
            self._pool = self._make_pool()

    @property
    def _is_open(self) -> bool:
        return self._client is not None

    async def _execute(self, words: Sequence[Word]) -> Any:  # noqa: ANN401 - whatever it answers
        try:
            # Not redis-py's blocking pool: one that waits there may miss its cancellation.
            async with self._turns:
                return await cast("Any", self._client).execute_command(*words)
        except _REPLIES as error:
            raise explain(
                self.name, f"{getattr(error, 'status_code', None) or ''} {error}".strip()
            ) from error
        except (exceptions.RedisError, OSError) as error:
            raise Unanswered(str(error) or type(error).__name__) from error
        except UnicodeError as error:
            raise explain(self.name, f"a word is no text in UTF-8: {error}") from error
