"""What a worker group costs Redis while it does nothing: connections and commands."""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.faults.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import RedisServer

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("idle")]
PROCESSES = 3  # a supervisor and two workers


def _clients(server: RedisServer) -> list[dict[str, str]]:
    text = server.call("CLIENT", "LIST")
    assert isinstance(text, str)
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        fields = (field.partition("=") for field in line.split())
        found.append({name: value for name, _, value in fields})
    return found


@pytest.mark.parametrize("queues", [11, 200])
async def test_a_process_has_at_most_three_named_connections(
    own_redis_server: RedisServer, namespace: str, tmp_path: Path, figure: Callable[[str], None], queues: int
) -> None:
    async with Shop(own_redis_server.url, namespace, tmp_path, queues=queues - 1) as shop:
        group = await shop.group(processes=2, lease="15s")
        for number in range(queues - 1):
            await shop.enqueue(f"quick{number}")
        await shop.checked()
        pids = {group.supervisor, *group.workers}
        ours = [one for one in _clients(own_redis_server) if one["cmd"] != "client|list"]
        names = Counter(int(one["name"].rpartition(":")[2]) for one in ours)  # a nameless one fails here
        assert all(one["name"].startswith(f"headway:{namespace}:") for one in ours)
        held = {pid: names[pid] for pid in pids}
        figure(f"connections with {queues} queues: {sorted(held.values())} a process")
        assert max(held.values()) <= 3
        assert min(held.values()) >= 1
        assert set(names) <= pids | {os.getpid()}


@pytest.mark.parametrize("seconds", [15, pytest.param(60, marks=pytest.mark.slow)])
async def test_an_idle_group_sends_hardly_any_commands(
    own_redis_server: RedisServer, namespace: str, tmp_path: Path, figure: Callable[[str], None], seconds: int
) -> None:
    """Counted by the server: what clients send, and all that scripts call in turn. Idle time is what is measured."""
    async with Shop(own_redis_server.url, namespace, tmp_path, queues=10) as shop:
        group = await shop.group(processes=PROCESSES - 1, lease="15s")
        await shop.enqueue("quick")
        await shop.checked()
        # The first round of maintenance after the start comes within these seconds.
        await asyncio.sleep(6)
        before = _commands(own_redis_server)
        await asyncio.sleep(seconds)
        after = _commands(own_redis_server)
        sent = {name: after[0][name] - before[0][name] for name in after[0]}
        by_clients = sum(sent[name] for name in ("evalsha", "eval", "ping", "publish", "subscribe", "set"))
        whole = after[1] - before[1] - 1  # the INFO that began it
        rate, whole_rate = by_clients / seconds / PROCESSES, whole / seconds / PROCESSES
        figure(
            f"{seconds} s idle: {rate:.3f} commands a second a process, {whole_rate:.3f} with those inside scripts; "
            f"{ {name: count for name, count in sent.items() if count} }"
        )
        # In the short time one command too many would already be over the limit.
        assert by_clients <= max(0.2 * seconds * PROCESSES, PROCESSES)
        if seconds == 60:
            assert whole <= 0.2 * seconds * PROCESSES
        # Idle, yet awake.
        await shop.enqueue("quick")
        await shop.checked(5)
        assert not group.ended


def _commands(server: RedisServer) -> tuple[Counter[str], int]:
    stats = server.call("INFO", "commandstats")
    assert isinstance(stats, str)
    calls = Counter({name: int(count) for name, count in re.findall(r"cmdstat_([^:]+):calls=(\d+)", stats)})
    return calls, int(server.info("stats")["total_commands_processed"])
