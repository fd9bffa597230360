"""The Redis of a source: one server, a Sentinel group or a Cluster. What it holds is bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import hiredis
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from headway.errors import BrokerRefusedError
from headway.storage.patience import ANSWER_TIMEOUT, Unanswered, until_answered
from headway.storage.redis.location import parse
from headway.storage.redis.replies import UnknownScriptError, explain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from typing import TypeAlias

    from headway.storage.redis.location import Location
    from headway.storage.redis.server import Script

    Word: TypeAlias = "bytes | str | int"

_REPLIES: Final = (
    exceptions.ResponseError,
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.BusyLoadingError,
    exceptions.ClusterError,
)
# hiredis annotates it as taking one part, and says nothing of the result.
_pack = cast("Callable[[Sequence[Word]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
_SCANNED: Final = 500  # keys looked at by one call: well below a millisecond


class SourceServer:
    """Runs commands and scripts. Raises BrokerUnavailableError, or BrokerRefusedError; passwords stay out of both.

    A call is repeated for some seconds while nothing is answered, so each may have been applied before.
    """

    def __init__(self, url: str) -> None:
        """ConfigError names what is wrong with the URL; the forms are those of carriers."""
        self._where = parse(url)
        self.name = self._where.name
        self._client: Any = None
        self._sentinel: Sentinel | None = None

    async def open(self) -> None:
        """Connect and greet. Opening an open one does nothing."""
        if self._client is not None:
            return
        self._client = self._connected()
        try:
            await until_answered(self.name, lambda: self._try("PING"), opening=True)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect. Closing a closed one does nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        sentinel, self._sentinel = self._sentinel, None
        if sentinel is not None:
            for one in cast("list[Redis]", cast("Any", sentinel).sentinels):
                await one.aclose()

    async def command(self, *words: Word) -> Any:  # noqa: ANN401 - whatever it answers
        """Run a command; texts in the answer are bytes."""
        return (await until_answered(self.name, lambda: self._try(*words))).value

    async def run(self, script: Script, keys: Sequence[str], words: Sequence[Word] = ()) -> Any:  # noqa: ANN401 - as above
        """Run a script."""
        rest = (len(keys), *keys, *words)
        return (await until_answered(self.name, lambda: self._evaluate(script, rest))).value

    async def scan(self, match: str, kind: str | None = None) -> AsyncIterator[str]:
        """Yield the keys that match a pattern, of one type if it is given; a key may come twice.

        Keys that are no UTF-8 are left out: no library of ours has made them.
        """
        keys = self._client.scan_iter(match=match, count=_SCANNED, _type=kind)
        try:
            async for key in keys:
                try:
                    yield cast("bytes", key).decode()
                except UnicodeDecodeError:
                    continue
        except _REPLIES as error:
            raise explain(self.name, str(error)) from error
        except (exceptions.RedisError, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Exception:
        from headway.errors import BrokerUnavailableError  # noqa: PLC0415 - raised here alone

        reason = str(error) or type(error).__name__
        return BrokerUnavailableError(f"{self.name} cannot be reached ({reason}): the same command goes on")

    async def _evaluate(self, script: Script, rest: Sequence[Word]) -> Any:  # noqa: ANN401 - as above
        try:
            return await self._try("EVALSHA", script.sha, *rest)
        except UnknownScriptError:
            return await self._try("EVAL", script.source, *rest)

    async def _try(self, *words: Word) -> Any:  # noqa: ANN401 - as above
        if self._client is None:
            msg = f"{self.name} is not open: open it before you use it"
            raise BrokerRefusedError(msg)
        try:
            return await self._client.execute_command(*words)
        except _REPLIES as error:
            raise explain(
                self.name, f"{getattr(error, 'status_code', None) or ''} {error}".strip()
            ) from error
        except (exceptions.RedisError, OSError) as error:
            raise Unanswered(str(error) or type(error).__name__) from error

    def _connected(self) -> Any:  # noqa: ANN401 - one of three clients
        where = self._where
        options: dict[str, Any] = {
            "username": where.username,
            "password": where.password,
            "protocol": 2,
            "socket_timeout": ANSWER_TIMEOUT,
            "socket_connect_timeout": ANSWER_TIMEOUT,
            "socket_keepalive": True,
            **_tls(where),
        }
        if where.layout == "cluster":
            nodes = [ClusterNode(host, port) for host, port in where.addresses]
            return RedisCluster(startup_nodes=nodes, **options)
        options |= {"db": where.db, "retry": Retry(NoBackoff(), 0), "driver_info": None}
        if where.layout == "sentinel":
            login = {
                "username": where.sentinel_username,
                "password": where.sentinel_password,
                "socket_timeout": ANSWER_TIMEOUT,
                "socket_connect_timeout": ANSWER_TIMEOUT,
                **_tls(where),
            }
            self._sentinel = cast("Any", Sentinel)(list(where.addresses), sentinel_kwargs=login, **options)
            return _packing(cast("Any", self._sentinel).master_for(where.service))
        ((host, port),) = where.addresses
        return _packing(Redis(host=host, port=port, **options))


def _packing(client: Any) -> Any:  # noqa: ANN401 - a client of one server
    """Make its connections pack scripts' words in C: redis-py joins them one by one, ten a job."""
    pool = client.connection_pool
    pool.connection_class = type("Packing", (_Packing, pool.connection_class), {})
    return client


class _Packing:
    def pack_command(self, *words: Any) -> Any:  # noqa: ANN401 - as redis-py's
        if words[0] == "EVALSHA":
            return [_pack(words)]
        return cast("Any", super()).pack_command(*words)


def _tls(where: Location) -> Mapping[str, Any]:
    if not where.tls:
        return {}
    given = dict(where.tls_options)
    found: dict[str, Any] = {"ssl": True, **given}
    if "ssl_check_hostname" in given:
        found["ssl_check_hostname"] = given["ssl_check_hostname"].lower() not in {"0", "false", "no"}
    if given.get("ssl_cert_reqs") == "none":
        found["ssl_check_hostname"] = False
    return found
