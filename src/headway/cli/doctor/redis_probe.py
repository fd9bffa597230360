"""Asking a Redis for its facts."""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from headway.brokers.base import BrokerSettings
from headway.brokers.redis.location import parse
from headway.cli.doctor.redis import NodeHealth, RedisFacts

if TYPE_CHECKING:
    from headway.brokers.redis.location import Address, Location

_ROUNDS: Final = 20
_NODE_TIMEOUT: Final = 3.0  # seconds


async def redis_facts(url: str, namespace: str) -> RedisFacts:
    """Ask the server that the URL names; BrokerError when it cannot be reached, ConfigError for a wrong URL."""
    from headway.brokers.redis.broker import RedisBroker

    location = parse(url)
    async with RedisBroker.from_url(url, BrokerSettings(namespace=namespace or "headway-doctor")) as broker:
        seen = [await broker.server_info() for _ in range(_ROUNDS)]
    # The quickest round trip tells the clocks apart best.
    best = min(seen, key=lambda info: info.latency_ms)
    return RedisFacts(
        product=best.product,
        version=best.version,
        policy=best.maxmemory_policy,
        used_memory=best.used_memory,
        allocator=best.allocator,
        max_memory=best.max_memory,
        aof=best.aof,
        rdb=best.rdb,
        clients=best.connected_clients,
        max_clients=best.max_clients,
        clock_skew_ms=best.clock_skew_ms,
        latency_ms=median(info.latency_ms for info in seen),
        layout=location.layout,
        nodes=await _nodes(location),
    )


async def _nodes(location: Location) -> tuple[NodeHealth, ...]:
    match location.layout:
        case "standalone":
            return ()
        case "cluster":
            return tuple([await _node(location, address) for address in location.addresses])
        case "sentinel":
            return tuple([await _sentinel(location, address) for address in location.addresses])


async def _node(location: Location, address: Address) -> NodeHealth:
    answer = await _ask(
        location, address, "CLUSTER", "INFO", user=location.username, password=location.password
    )
    if isinstance(answer, Exception):
        return _problem(address, str(answer))
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    found = re.search(r"^cluster_state:(\S+)", text, re.MULTILINE)
    state = found[1] if found else "unknown"
    return _problem(address, None if state == "ok" else f"cluster_state is {state}")


async def _sentinel(location: Location, address: Address) -> NodeHealth:
    answer = await _ask(
        location,
        address,
        "SENTINEL",
        "CKQUORUM",
        location.service,
        user=location.sentinel_username,
        password=location.sentinel_password,
    )
    return _problem(address, str(answer) if isinstance(answer, Exception) else None)


def _problem(address: Address, problem: str | None) -> NodeHealth:
    return NodeHealth(f"{address[0]}:{address[1]}", problem)


async def _ask(
    location: Location, address: Address, *command: str, user: str | None, password: str | None
) -> Any:  # noqa: ANN401 - the server's answer, or the error that came instead
    from redis import exceptions
    from redis.asyncio import Redis

    options: dict[str, Any] = {"ssl": True, **dict(location.tls_options)} if location.tls else {}
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() not in {"0", "false", "no"}
    try:
        client: Any = Redis(
            host=address[0],
            port=address[1],
            username=user,
            password=password,
            socket_timeout=_NODE_TIMEOUT,
            socket_connect_timeout=_NODE_TIMEOUT,
            **options,
        )
        async with client:
            # Raw: the client would read these answers in its own ways.
            client.response_callbacks.clear()
            return await client.execute_command(*command)
    except (exceptions.RedisError, OSError) as error:
        return error
