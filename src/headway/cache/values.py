"""The cache in a Redis: values as msgpack in base64, for by HTTP only text goes through."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec

from headway.clock import duration_ms
from headway.errors import ConfigError, SerialisationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from headway.storage.redis.server import RedisServer, Word

_encoder: Final = msgspec.msgpack.Encoder()


class RedisCache:
    """A Cache, see there."""

    def __init__(self, server: RedisServer, namespace: str) -> None:
        """The server is opened with the first call."""
        self._server = server
        self._prefix = f"hw:{{{namespace}}}:cache:"

    @property
    def commands(self) -> int:
        """How many commands the server was sent."""
        return self._server.commands

    async def get(self, key: str, kind: Any = Any) -> Any:  # noqa: ANN401 - typed by the protocol
        """See Cache."""
        return unpack(await self._command("GET", self._prefix + key), kind)

    async def get_many(self, keys: Sequence[str], kind: Any = Any) -> list[Any]:  # noqa: ANN401 - as get
        """See Cache."""
        if not keys:
            return []
        texts = await self._command("MGET", *(self._prefix + key for key in keys))
        return [unpack(text, kind) for text in texts]

    async def set(self, key: str, value: object, *, ttl: timedelta | float, only_new: bool = False) -> bool:
        """See Cache."""
        ttl_ms, text = checked_ttl_ms(ttl), pack(key, value)
        words: list[Word] = ["SET", self._prefix + key, text, "PX", ttl_ms]
        return bool(await self._command(*words, *(("NX",) if only_new else ())))

    async def delete(self, *keys: str) -> int:
        """See Cache."""
        return int(await self._command("DEL", *(self._prefix + key for key in keys))) if keys else 0

    async def _command(self, *words: Word) -> Any:  # noqa: ANN401 - whatever it answers
        await self._server.open()
        return (await self._server.command(*words)).value


def checked_ttl_ms(ttl: timedelta | float) -> int:
    """Return milliseconds; ConfigError when there is not one."""
    ttl_ms = duration_ms(ttl)
    if ttl_ms < 1:
        msg = f"cache: ttl must be at least 1 ms, got {ttl}"
        raise ConfigError(msg)
    return ttl_ms


def pack(key: str, value: object) -> str:
    """Write a value; SerialisationError names its key."""
    try:
        return b64encode(_encoder.encode(value)).decode()
    except (TypeError, OverflowError, ValueError, RecursionError) as error:
        msg = f"cache: the value of {key!r} cannot be written: {error}"
        raise SerialisationError(msg) from error


def unpack(text: str | None, kind: Any) -> Any:  # noqa: ANN401 - as get
    """Read a value; None when it is not of this kind."""
    if text is None:
        return None
    try:
        return msgspec.msgpack.decode(b64decode(text, validate=True), type=kind)
    except (ValueError, msgspec.MsgspecError):
        return None  # of an earlier version of the caller's type: to be made anew, as if it were not there
