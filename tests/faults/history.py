"""One random history: a random load, random faults in random order, and the ledger check at its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Final

from tests.faults.load import MIX, Load
from tests.faults.processes import send
from tests.faults.shop import Shop
from tests.servers import Direction

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from tests.faults.group import Group
    from tests.faults.ledger import Ledger
    from tests.servers import RedisServer, TcpProxy

LEASE: Final = 1.0  # seconds
_LONGEST_END: Final = 40.0  # seconds from the last fault to the last job

PROCESS_FAULTS: Final = (
    "kill worker",
    "kill group",
    "kill supervisor",
    "freeze worker",
    "freeze group",
    "block loop",
    "hold gil",
    "drain",
)
REDIS_FAULTS: Final = ("cut enqueuer", "cut workers", "cut workers", "restart redis")


class RedisParts:
    """What a history on Redis may break: the server, and the proxies before it."""

    def __init__(self, server: RedisServer, front: TcpProxy, back: TcpProxy) -> None:
        self.server = server
        self.front = front  # of the enqueuer
        self.back = back  # of the workers


class History:
    """Runs once. `faults` says afterwards what was done, in order."""

    def __init__(self, seed: int, carrier: str, folder: Path, redis: RedisParts | None = None) -> None:
        self.seed = seed
        self.carrier = carrier
        self.faults: list[str] = []
        self.jobs = 0
        self._rng = Random(f"{carrier}:{seed}")
        self._folder = folder
        self._redis = redis
        self._background: set[asyncio.Task[None]] = set()

    def _shop(self) -> Shop:
        name = f"soak-{self.seed}"
        if self._redis is None:
            return Shop(f"sqlite:///{self._folder}/jobs.db", name, self._folder, show_logs=False)
        return Shop(
            f"redis://127.0.0.1:{self._redis.front.port}/0",
            name,
            self._folder,
            worker_url=f"redis://127.0.0.1:{self._redis.back.port}/0",
            show_logs=False,
        )

    async def run(self) -> Ledger:
        """Run it; LedgerError when a job was lost or completed twice, NotInTimeError when the end does not come."""
        rng = self._rng
        kinds = PROCESS_FAULTS if self._redis is None else PROCESS_FAULTS + REDIS_FAULTS
        async with self._shop() as shop:
            await asyncio.gather(self._group(shop), self._group(shop))
            for _ in range(rng.randint(1, 5)):
                task, args = rng.choice(MIX)
                await shop.enqueue(task, *args, count=rng.randint(1, 20))
            # Its own generator: how many jobs it makes depends on the machine, the faults must not.
            async with Load(shop, Random(f"{self.carrier}:{self.seed}:load")):
                for _ in range(rng.randint(1, 4)):
                    await asyncio.sleep(rng.uniform(0, 0.3))  # the moment is part of the history
                    await self._do(shop, rng.choice(kinds))
                while self._background:
                    await asyncio.gather(*self._background)
            if not _living(shop):
                await self._group(shop)
            ledger = await shop.checked(_LONGEST_END)
            self.jobs = len(shop.accepted)
            return ledger

    async def _group(self, shop: Shop) -> Group:
        rng = self._rng
        return await shop.group(
            processes=rng.randint(1, 2), concurrency=rng.choice((3, 10, 30)), lease=f"{LEASE:g}s", grace="1s"
        )

    async def _do(self, shop: Shop, fault: str) -> None:  # noqa: C901 - a table of faults
        rng = self._rng
        self.faults.append(fault)
        group = rng.choice(_living(shop) or [await self._group(shop)])
        workers = group.workers
        match fault:
            case "kill worker" if workers:
                send(rng.choice(workers), signal.SIGKILL)
            case "kill group":
                group.kill_all()
                await self._group(shop)
            case "kill supervisor":
                group.kill_supervisor()
                await self._group(shop)
            case "freeze worker" if workers:
                pid = rng.choice(workers)
                send(pid, signal.SIGSTOP)
                self._later(_thaw(pid, rng.uniform(0.2, 1.8) * LEASE))
            case "freeze group":
                pids = [group.supervisor, *workers]
                group.stop_all()
                for pid in pids:
                    self._later(_thaw(pid, rng.uniform(1.0, 1.8) * LEASE))
            case "block loop" | "hold gil":
                task = "block" if fault == "block loop" else "hold_gil"
                await shop.enqueue(task, rng.uniform(0.5, 3.0) * LEASE)
            case "drain":
                group.terminate()
                await self._group(shop)
            case "cut enqueuer" if self._redis is not None:
                await _cut(self._redis.front, rng, most=50)
            case "cut workers" if self._redis is not None:
                await _cut(self._redis.back, rng, most=3000)
            case "restart redis" if self._redis is not None:
                await asyncio.to_thread(self._redis.server.kill)
                await asyncio.to_thread(self._redis.server.start)
            case _:
                self.faults[-1] += " (none there)"

    def _later(self, thaw: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(thaw)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def count_by_kind(histories: list[History]) -> Counter[str]:
    """Return how often each fault was done."""
    return Counter(fault for history in histories for fault in history.faults)


def _living(shop: Shop) -> list[Group]:
    return [group for group in shop.groups if not group.ended and not group.leaving]


async def _thaw(pid: int, seconds: float) -> None:
    await asyncio.sleep(seconds)
    send(pid, signal.SIGCONT)


async def _cut(proxy: TcpProxy, rng: Random, *, most: int) -> None:
    direction = rng.choice(tuple(Direction))
    proxy.reset_after(rng.choice((0, rng.randint(1, most))), direction)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await proxy.wait_reset()
            return
    proxy.reset()  # too little went that way
