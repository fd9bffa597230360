"""The fault run of push: `python -m tests.faults.push_run [--guard sqlite,redis,http,postgres] [--jobs 5000] [--seed 1]`.

An emulator that delivers a fifth of all tasks twice, delays, answers 503 and loses answers; two receivers, of which
one after the other is killed, frozen for longer than its lease, and ended in order. In the end every accepted job must
have reached its end, once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway.errors import BrokerError
from tests.faults.jobs import build
from tests.faults.push_ledger import PushLedger, known, read_ledger, unfinished
from tests.faults.push_place import GUARDS, LEASE, Place, own_guard, place
from tests.faults.until import until
from tests.servers.process import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.job import JobId
    from tests.servers import ReceiverServer

_log = logging.getLogger(__name__)

FAULTS: Final = "duplicates=0.2,delays=0.1:1s,unavailable=0.05,lost=0.05,seed={seed}"
_BATCH: Final = 200
_PARTS: Final = 20
_STILL: Final = 180.0  # seconds without any job reaching its end, after which the run has failed
_TASKS: Final[tuple[tuple[str, tuple[Any, ...], int], ...]] = (
    ("quick", (), 10),
    ("slow", (0.2,), 3),
    ("slow", (1.0,), 3),
    ("in_thread", (0.2,), 1),
    ("flaky", (1,), 2),
    ("flaky", (2,), 1),
)


class PushRun:
    """One run on one guard."""

    def __init__(
        self, where: Place, *, jobs: int, seed: int, pause: float = 2.0, least_faults: int = 0
    ) -> None:
        """`pause`: seconds between two faults of receivers. With `least_faults`, jobs come as those happen."""
        self.where = where
        self.jobs = jobs
        self.faults: list[str] = []
        self.accepted: list[JobId] = []
        self.uncertain: list[JobId] = []  # whether they were accepted is open
        self.seconds = 0.0
        self._pause = pause
        self._least = least_faults
        self._chance = random.Random(seed)
        self._suffered = 0

    async def run(self) -> PushLedger:
        """Enqueue while receivers suffer, wait until all is done, and read the ledger."""
        begun = time.monotonic()
        app = build(self.where.namespace, **dict[str, Any](self.where.settings))
        async with app:
            suffering = asyncio.create_task(self._suffer())
            try:
                await self._enqueue(app)
                await self._finished()
            finally:
                suffering.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await suffering
        self.seconds = time.monotonic() - begun
        return await read_ledger(self.where, self.accepted)

    async def _enqueue(self, app: Any) -> None:
        names = [(name, args) for name, args, weight in _TASKS for _ in range(weight)]
        batch = min(_BATCH, -(-self.jobs // _PARTS)) if self._least else _BATCH
        for first in range(0, self.jobs, batch):
            await until(
                lambda: len(self.faults) >= self._least * first // self.jobs,  # noqa: B023 - awaited here
                "the next fault",
                within=_STILL,
            )
            chosen = [self._chance.choice(names) for _ in range(min(batch, self.jobs - first))]
            prepared = [app.find_task(name).job(*args) for name, args in chosen]
            answers = await asyncio.gather(*(app.accept(job.new) for job in prepared), return_exceptions=True)
            for job, answer in zip(prepared, answers, strict=True):
                if isinstance(answer, BrokerError):
                    _log.error("job %s was not accepted: %s", job.new.id, answer)
                    self.uncertain.append(job.new.id)
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    self.accepted.append(job.new.id)

    async def _finished(self) -> None:
        """Wait for the end of every accepted job, and of those that were accepted although the call failed."""
        left: list[JobId] = list(self.accepted)
        since = time.monotonic()
        while left or self._suffered < self._least:
            before = len(left)
            left = await unfinished(self.where, left) or await unfinished(
                self.where, self.uncertain, unknown=False
            )
            if len(left) != before:
                since = time.monotonic()
            elif time.monotonic() - since > _STILL:
                break  # the ledger says which are missing
            await asyncio.sleep(0.2)
        self.accepted += await known(self.where, self.uncertain)

    async def _suffer(self) -> None:
        acts: list[Callable[[ReceiverServer], Any]] = [self._kill, self._freeze, self._end]
        while True:
            await asyncio.sleep(self._pause * self._chance.uniform(0.5, 1.5))
            victim = self._chance.choice(self.where.receivers)
            act = acts[len(self.faults) % len(acts)]
            self.faults.append(act.__name__.lstrip("_"))
            await act(victim)
            self._suffered += 1

    async def _kill(self, victim: ReceiverServer) -> None:
        await asyncio.to_thread(victim.kill)
        await asyncio.to_thread(victim.start)

    async def _freeze(self, victim: ReceiverServer) -> None:
        victim.pause()
        try:
            await asyncio.sleep(LEASE + self._chance.uniform(0.5, 2))
        finally:
            victim.resume()

    async def _end(self, victim: ReceiverServer) -> None:
        await asyncio.to_thread(victim.stop)
        await asyncio.to_thread(victim.start)


async def run_on(
    guard: str, folder: Path, *, jobs: int, seed: int, pause: float = 2.0, least_faults: int = 0
) -> tuple[PushRun, PushLedger]:
    """Run against the guard's store at this URL."""
    namespace = f"push{uuid.uuid4().hex[:8]}"
    async with place(folder, namespace, guard, faults=FAULTS.format(seed=seed)) as where:
        one = PushRun(where, jobs=jobs, seed=seed, pause=pause, least_faults=least_faults)
        try:
            return one, await one.run()
        except ServerError:
            for receiver in where.receivers:
                sys.stderr.write(f"{receiver!r}\n{receiver.last_lines(40)}\n")
            raise


def main() -> None:
    """Run; exit code 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description="the fault run of push")
    parser.add_argument("--guard", default=",".join(GUARDS))
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=2.0)
    parser.add_argument("--keep", type=Path, help="folder for the logs")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    wrong = False
    for kind in given.guard.split(","):
        if kind not in GUARDS:
            parser.error(f"--guard: {kind!r} is not one of {', '.join(GUARDS)}")
        with tempfile.TemporaryDirectory(prefix="headway-push-") as temporary:
            folder = given.keep / kind if given.keep else Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            with own_guard(kind, folder) as url:
                run, ledger = asyncio.run(
                    run_on(url, folder, jobs=given.jobs, seed=given.seed, pause=given.pause)
                )
        counted = ", ".join(f"{run.faults.count(name)} x {name}" for name in ("kill", "freeze", "end"))
        sys.stdout.write(
            f"--- guard {kind}, seed {given.seed}: {run.seconds:.0f} s, receivers: {counted}; "
            f"{len(run.uncertain)} enqueues failed\n{ledger.table()}\n"
        )
        sys.stdout.flush()
        wrong = wrong or bool(ledger.wrong)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
