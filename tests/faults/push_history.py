"""One random history of a push carrier: receivers that die, freeze and end, a guard's store that stands still."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
import uuid
from random import Random
from typing import TYPE_CHECKING, Any, Final

from tests.faults.book import Book
from tests.faults.history import HistoryError
from tests.faults.jobs import build, lines_of
from tests.faults.oracle import Circumstances, Finding, judge
from tests.faults.plans import PUSHED, draw
from tests.faults.push_ledger import known, read_ledger, unfinished
from tests.faults.push_place import LEASE, place
from tests.faults.soak_jobs import declare_soak
from tests.servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from headway import Headway
    from headway.job import JobRecord
    from tests.faults.push_place import Place
    from tests.servers import ReceiverServer

_JOBS: Final = 40
_STILL: Final = 90.0  # seconds without any job reaching its end, after which the history has failed
_FAULTS: Final = ("kill", "freeze", "end", "stall of the guard", "stall of the guard")
_UNWELL: Final = "duplicates=0.2,delays=0.1:1s,unavailable=0.05,lost=0.05,seed={seed}"


class PushHistory:
    """Runs once, as `History`, on a guard of SQLite or of Redis."""

    def __init__(self, seed: int, folder: Path) -> None:
        """`folder` is its own."""
        self.seed = seed
        self.carrier = "cloudtasks"
        self.faults: list[str] = []
        self.jobs = 0
        self.stalled = 0.0
        self._rng = Random(f"cloudtasks:{seed}")
        self._guard = self._rng.choice(("sqlite", "redis"))
        self._folder = folder

    def describe(self) -> str:
        """Say what sort of history it is."""
        return f"guard {self._guard}"

    async def run(self) -> None:
        """Run it; HistoryError has what was wrong."""
        namespace = f"push{uuid.uuid4().hex[:8]}"
        async with (
            _guard(self._guard, self._folder) as (url, stall),
            place(self._folder, namespace, url, faults=_UNWELL.format(seed=self.seed)) as where,
        ):
            app = declare_soak(build(namespace, **dict[str, Any](where.settings)))
            async with app:
                book = Book(app, dict)
                suffering = asyncio.create_task(self._suffer(where, stall))
                try:
                    for way in ("one by one", "turn by turn", "many", "blocking"):
                        await book.ask(
                            [
                                draw(self._rng, book.tag(), lease=LEASE, harm=False, among=PUSHED)
                                for _ in range(_JOBS // 4)
                            ],
                            way,
                        )
                    await suffering
                    await end_of(where, book)
                finally:
                    suffering.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await suffering
                    self.jobs = len(book.asked)
                # A guard that stands still costs no job anything.
                # A guard that stands still for longer than a lease lets nobody renew his: a second delivery takes over.
                harms = sum(fault in {"kill", "freeze", "stall of the guard"} for fault in self.faults)
                findings, further = await judged(app, where, book, harms=harms)
        if findings or further:
            raise HistoryError(findings, further)

    async def _suffer(self, where: Place, stall: Callable[[float], Awaitable[None]]) -> None:
        for _ in range(self._rng.randint(2, 4)):
            await asyncio.sleep(self._rng.uniform(0.1, 1.0))
            fault = self._rng.choice(_FAULTS)
            self.faults.append(fault)
            victim: ReceiverServer = self._rng.choice(where.receivers)
            match fault:
                case "kill":
                    await asyncio.to_thread(victim.kill)
                    await asyncio.to_thread(victim.start)
                case "freeze":
                    victim.pause()
                    try:
                        await asyncio.sleep(LEASE + self._rng.uniform(0.5, 2))
                    finally:
                        victim.resume()
                case "end":
                    await asyncio.to_thread(victim.stop)
                    await asyncio.to_thread(victim.start)
                case _:
                    await stall(self._rng.choice((1.0, 4.0, 8.0)))


@contextlib.asynccontextmanager
async def _guard(kind: str, folder: Path) -> AsyncGenerator[tuple[str, Callable[[float], Awaitable[None]]]]:
    """Start the guard's store; yield its URL, and how to make it stand still for so many seconds."""
    if kind == "sqlite":
        path = folder / "guard.db"

        def lock(seconds: float) -> None:
            db = sqlite3.connect(path, timeout=20)
            db.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            db.rollback()
            db.close()

        async def keep(seconds: float) -> None:
            await asyncio.to_thread(lock, seconds)

        yield f"sqlite:///{path}", keep
        return
    server = RedisServer(appendonly=True)
    await asyncio.to_thread(server.start)

    async def freeze(seconds: float) -> None:
        server.pause()
        try:
            await asyncio.sleep(seconds)
        finally:
            server.resume()

    try:
        yield server.url, freeze
    finally:
        await asyncio.to_thread(server.close)


async def end_of(where: Place, book: Book) -> None:
    """Wait for the end of every job that was accepted."""
    since = time.monotonic()
    left = list(book.accepted())
    while left and time.monotonic() - since < _STILL:
        before = len(left)
        left = await unfinished(where, left)
        if len(left) != before:
            since = time.monotonic()
        await asyncio.sleep(0.2)


async def judged(app: Headway, where: Place, book: Book, *, harms: int) -> tuple[list[Finding], list[str]]:
    """Judge by the records, the handlers' lines and the witness of the guard."""
    ids = book.accepted()
    ledger = await read_ledger(where, await known(where, ids))
    records: dict[str, list[JobRecord]] = {}
    tags = {one.id: one.tag for one in book.asked.values()}
    for record in await app.carrier.get(ids):
        if record is not None:
            records.setdefault(tags[record.id], []).append(record)
    findings = judge(
        [one for one in book.asked.values() if one.id is not None],
        records,
        lines_of(where.effects),
        Circumstances(harms=harms, timely=False),
    )
    return findings, [f"{job}: {'; '.join(faults)}" for job, faults in ledger.wrong.items()]
