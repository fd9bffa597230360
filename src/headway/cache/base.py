"""What tasks may ask of the cache and of the limiter. Durations are timedeltas or seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

T = TypeVar("T")


class Cache(Protocol):
    """Values by key, each with an end; each method is one command.

    Raises BrokerUnavailableError or BrokerRefusedError.
    """

    @property
    def commands(self) -> int:
        """How many commands the server was sent, those of the limiter included: what a service bills."""
        ...

    @overload
    async def get(self, key: str) -> Any: ...  # noqa: ANN401 - whatever was set
    @overload
    async def get(self, key: str, kind: type[T]) -> T | None: ...
    async def get(self, key: str, kind: Any = ...) -> Any:
        """Return the value; None when there is none, or one that is not of this kind (an earlier version's)."""
        ...

    @overload
    async def get_many(self, keys: Sequence[str]) -> list[Any]: ...
    @overload
    async def get_many(self, keys: Sequence[str], kind: type[T]) -> list[T | None]: ...
    async def get_many(self, keys: Sequence[str], kind: Any = ...) -> list[Any]:
        """Return the values in the order of the keys, each as `get` would."""
        ...

    async def set(self, key: str, value: object, *, ttl: timedelta | float, only_new: bool = False) -> bool:
        """Keep a value for so long: whatever msgspec can write. Tell whether it was kept: `only_new` replaces none.

        SerialisationError when it cannot be written.
        """
        ...

    async def delete(self, *keys: str) -> int:
        """Forget the values; return how many there were."""
        ...


class Allowed(Struct, frozen=True):
    """Go on; `remaining` more would be allowed at once."""

    remaining: int


class Denied(Struct, frozen=True):
    """Not now: the earliest time is in `retry_after` seconds."""

    retry_after: float


class Limiter(Protocol):
    """Counts what is done against a rate, over all processes. Raises as Cache does.

    Calls of `limit` made in the same turn of the event loop share one command; what is wrong with one fails it alone.
    """

    async def limit(self, key: str, rate: str, *, cost: int = 1) -> Allowed | Denied:
        """Take `cost` from the rate of this key, such as `10/5s` or `100/1m`: so many at once, then evenly spaced.

        What is denied takes nothing. ConfigError when the rate cannot be read, or could never allow the cost.
        """
        ...

    async def reset(self, key: str) -> None:
        """Forget what was taken from the rate of this key."""
        ...
