"""Removing what a run left in a Redis: an app's own keys, which no carrier removes while the app may still be used."""

from __future__ import annotations

from typing import Final

from headway.brokers.redis.keys import prefix
from headway.brokers.redis.location import parse

_STEP: Final = 1000


async def forget_namespace(url: str, namespace: str) -> int:
    """Remove every key of the namespace, and return how many; raises what the connection raises.

    All of them are on one server, also in a Cluster. No process may use the namespace any more.
    """
    from headway.brokers.redis.wire.connect import Connector  # noqa: PLC0415 - needs the extra

    start = prefix(namespace)
    wire = await Connector(parse(url), namespace=namespace, key=start).connect("demo")
    try:
        removed, cursor = 0, "0"
        while True:
            ((following, keys),) = await wire.ask(("SCAN", cursor, "MATCH", f"{start}*", "COUNT", _STEP))
            if keys:
                removed += sum(await wire.ask(("UNLINK", *keys)))
            cursor = following.decode()
            if cursor == "0":
                return removed
    finally:
        wire.close()
