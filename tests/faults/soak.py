"""Random histories for a long time: `python -m tests.faults.soak --histories 400 --seed 1 --carrier sqlite,redis,cloudtasks`.

A history that fails is printed with the command that repeats it (its load and its faults; what the machine does between
them is not repeated). Exit code 1 when one failed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import traceback
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.faults.history import History, HistoryError, RedisParts, Told, count_by_kind
from tests.faults.push_history import PushHistory
from tests.servers import RedisServer, TcpProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PUSHED: Final = "cloudtasks"
CARRIERS: Final = ("sqlite", "redis", PUSHED)


class Soak:
    """The histories of all carriers, each carrier's one after the other."""

    def __init__(self, say: Callable[[str], None], *, logs: bool = True, first: bool = False) -> None:
        """`say` is told each failure, with the ends of the workers' logs if wanted; `first`: it ends there."""
        self.histories: list[Told] = []
        self.failed: list[Told] = []
        self.lost = 0
        self.twice = 0
        self._say = say
        self._logs = logs
        self._first = first

    async def run(self, carrier: str, seeds: Sequence[int]) -> None:
        """Run one history for each seed."""
        async with AsyncExitStack() as stack:
            parts: RedisParts | None = None
            if carrier == "redis":
                server = RedisServer(appendonly=True, options={"appendfsync": "always"})
                await asyncio.to_thread(server.start)
                stack.callback(server.close)
                front = await stack.enter_async_context(TcpProxy(server.port))
                back = await stack.enter_async_context(TcpProxy(server.port))
                parts = RedisParts(server, front, back)
            for seed in seeds:
                if self._first and self.failed:
                    return
                with tempfile.TemporaryDirectory(
                    prefix="headway-soak-", ignore_cleanup_errors=True
                ) as folder:
                    path = Path(folder)
                    one = (
                        PushHistory(seed, path) if carrier == PUSHED else History(seed, carrier, path, parts)
                    )
                    await self._one(one, path)

    async def _one(self, history: Told, folder: Path) -> None:
        self.histories.append(history)
        try:
            await history.run()
        except Exception as error:  # noqa: BLE001 - each is reported, and the soak goes on
            self.failed.append(history)
            if isinstance(error, HistoryError):
                self.lost += error.lost
                self.twice += error.twice
            self._say(
                f"FAILED {history.carrier} seed {history.seed} ({history.describe()}): {', '.join(history.faults)}\n"
                f"repeat: python -m tests.faults.soak --histories 1 --seed {history.seed} --carrier {history.carrier}\n"
                f"{_told(error)}{_logs(folder) if self._logs else ''}\n"
            )

    def summary(self, seconds: float) -> str:
        """Return the line for the end."""
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(count_by_kind(self.histories).items()))
        return (
            f"{len(self.histories)} histories, {sum(one.jobs for one in self.histories)} jobs, "
            f"lost {self.lost}, twice {self.twice}, failed histories {len(self.failed)}, {seconds:.0f} s; faults: {faults}"
        )


def deal(seeds: Sequence[int], carriers: Sequence[str]) -> dict[str, list[int]]:
    """Deal the seeds out, the same to each at every time: a push carrier, whose leases are long, has one of twenty."""
    dealt: dict[str, list[int]] = {carrier: [] for carrier in carriers}
    pulled = [carrier for carrier in carriers if carrier != PUSHED] or list(carriers)
    for seed in seeds:
        alone = len(carriers) == 1 or PUSHED not in carriers or seed % 20
        dealt[pulled[seed % len(pulled)] if alone else PUSHED].append(seed)
    return dealt


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, HistoryError) else "".join(traceback.format_exception(error))


def _logs(folder: Path) -> str:
    """Return the end of what each worker group wrote to stderr."""
    return "\n" + "\n".join(
        f"--- {path.relative_to(folder)}\n{path.read_text(encoding='utf-8', errors='replace')[-3000:]}"
        for path in sorted(folder.glob("group*/worker.err"))
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the soak; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--histories", type=int, default=400, help="in all, dealt out to the carriers")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the first history; the next has the next number"
    )
    parser.add_argument("--carrier", default=",".join(CARRIERS), help="some of them, with commas")
    parser.add_argument("--logs", action="store_true", help="show the ends of the workers' logs of a failure")
    parser.add_argument("--first", action="store_true", help="end with the first failure")
    parser.add_argument(
        "--at-once", type=int, default=2, help="so many lanes for each carrier: a history mostly waits"
    )
    given = parser.parse_args(arguments)
    carriers = given.carrier.split(",")
    if not set(carriers) <= set(CARRIERS):
        parser.error(f"--carrier: {given.carrier!r} is not one of {', '.join(CARRIERS)}")
    seed = int.from_bytes(os.urandom(3)) if given.seed is None else given.seed
    _print(f"seed {seed}, {given.histories} histories on {', '.join(carriers)}")

    async def run() -> Soak:
        soak = Soak(_print, logs=given.logs, first=given.first)
        seeds = range(seed, seed + given.histories)
        shares = deal(seeds, carriers)
        lanes = [
            soak.run(carrier, share[lane :: given.at_once])
            for carrier, share in shares.items()
            for lane in range(given.at_once)
        ]
        await asyncio.gather(*lanes)
        return soak

    began = time.monotonic()
    soak = asyncio.run(run())
    _print(soak.summary(time.monotonic() - began))
    return 1 if soak.failed else 0


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
