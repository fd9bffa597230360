"""Whether the server can do its work: each thing that it depends on, by name."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.errors import HeadwayError
from headway.raised import in_one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headway.server.services.shared import Shared

_log: Final = logging.getLogger("headway.server")
_SECONDS: Final = 2.0  # for one answer: probes do not wait longer


class Dependency(Struct, frozen=True):
    """One thing that the server depends on. What is wrong stands in the server's log alone: anybody may ask this."""

    name: str
    ok: bool


class Health(Struct, frozen=True):
    """Whether all of them are well."""

    ok: bool
    dependencies: list[Dependency]


async def readiness(shared: Shared, more: dict[str, Callable[[], Awaitable[object]]] | None = None) -> Health:
    """Ask each carrier, the access database, and whatever is in `more`, all at once."""
    checks: dict[str, Callable[[], Awaitable[object]]] = {
        f"carrier {name}": store.paused for name, store in shared.carriers.items()
    }
    checks["access database"] = shared.database.check
    checks["audit log"] = lambda: _check_audit(shared)
    checks |= more or {}
    told = await asyncio.gather(*(_well(name, check) for name, check in checks.items()))
    found = [Dependency(name, ok) for name, ok in zip(checks, told, strict=True)]
    return Health(all(told), found)


async def _well(name: str, check: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(_SECONDS):
            await check()
    except TimeoutError:
        _log.warning("not ready: %s has not answered for %.0f s", name, _SECONDS)
        return False
    except HeadwayError as error:
        _log.warning("not ready: %s: %s", name, in_one_line(error))
        return False
    return True


async def _check_audit(shared: Shared) -> None:
    if shared.audit.trouble:
        raise HeadwayError(shared.audit.trouble)
