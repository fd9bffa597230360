"""One random history: a random load, random faults and acts in random order, and the judgement at its end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from headway.brokers.base import JobQuery
from headway.errors import BrokerError
from headway.job import JobState
from tests.faults.acts import draw_act
from tests.faults.book import Book
from tests.faults.jumps import set_clock
from tests.faults.ledger import Ledger, all_events
from tests.faults.left import clean_all, left_in_redis, left_in_sqlite
from tests.faults.oracle import Circumstances, Finding, judge
from tests.faults.plans import FAR, Asked, Want, draw
from tests.faults.processes import send
from tests.faults.records import all_records, by_tag, miscounted, tag_of
from tests.faults.shop import Shop
from tests.faults.soak_jobs import SIDE
from tests.faults.stalls import Stalls
from tests.faults.timing import Deaths
from tests.faults.until import NotInTimeError, until_told
from tests.servers import Direction

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from pathlib import Path

    from tests.faults.group import Group
    from tests.servers import RedisServer, TcpProxy

_LEASES: Final = (1.0, 2.0, 12.0)  # seconds; a long one shows what does not wait for its end
_LONGEST_END: Final = 90.0  # seconds from the last fault to the last job
_LEAST_JOBS: Final = 40
_QUEUES: Final = f"default,{SIDE}"

# What a supervisor mends in much less than a lease.
MENDED: Final = ("kill worker", "kill worker", "drain")
LOST: Final = ("kill worker", "kill group", "kill supervisor", "freeze worker", "freeze group", "drain")
REDIS_FAULTS: Final = ("cut enqueuer", "cut workers", "cut workers", "restart redis", "empty redis")
_OUTAGES: Final = frozenset({"cut enqueuer", "cut workers", "restart redis", "empty redis"})
_CALM: Final = frozenset({"drain"})  # costs no job a crash


class HistoryError(AssertionError):
    """What a history found; the message has all of it."""

    def __init__(self, findings: list[Finding], further: list[str]) -> None:
        lines = [f"{one.tag} {one.job_id or '?'}: {one.text}" for one in findings] + further
        super().__init__("\n".join(lines[:40]))
        self.lost = len({one.tag for one in findings if one.lost})
        self.twice = len({one.tag for one in findings if one.twice})


class Told(Protocol):
    """What the soak says of a history."""

    seed: int
    carrier: str
    faults: list[str]
    jobs: int

    def describe(self) -> str:
        """Say what sort of history it is."""
        ...

    async def run(self) -> None:
        """Run it; HistoryError has what was wrong."""
        ...


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
        self.stalled = 0.0
        rng = self._rng = Random(f"{carrier}:{seed}")
        self._folder = folder
        self._redis = redis
        self._background: set[asyncio.Task[None]] = set()
        self._asking = asyncio.Lock()
        self._harm = rng.random() < 0.4  # some jobs end their workers
        self.events = rng.random() < 0.3
        self._lease = rng.choice(_LEASES)
        self._clock = folder / "clock" if redis is None and rng.random() < 0.2 else None
        self._kinds: list[str] = list(MENDED if self._lease == max(_LEASES) else LOST)
        if redis is not None and rng.random() < 0.5:
            self._kinds += REDIS_FAULTS
        if self._clock is not None:
            self._kinds += ["jump"] * 4
        self._calm = rng.random() < 0.2  # no faults of ours: then nothing at all is excused
        self._deaths = Deaths()
        self._touched: set[int] = set()

    def describe(self) -> str:
        """Say what sort of history it is."""
        traits = {
            f"lease {self._lease:g} s": True,
            "events": self.events,
            "jobs that harm": self._harm,
            "jumping clock": self._clock is not None,
            "calm": self._calm,
        }
        return ", ".join(text for text, holds in traits.items() if holds)

    def _shop(self) -> Shop:
        name = f"soak-{self.seed}"
        settings: dict[str, str | int] = {"kill_after": "2s"}
        if self._redis is None:
            return Shop(
                f"sqlite:///{self._folder}/jobs.db",
                name,
                self._folder,
                settings=settings,
                show_logs=False,
                events=self.events,
                clock=self._clock,
            )
        return Shop(
            f"redis://127.0.0.1:{self._redis.front.port}/0",
            name,
            self._folder,
            worker_url=f"redis://127.0.0.1:{self._redis.back.port}/0",
            settings=settings,
            show_logs=False,
            events=self.events,
        )

    async def run(self) -> None:
        """Run it; HistoryError has what was wrong."""
        with Stalls() as stalls:
            async with self._shop() as shop:
                book = Book(shop.app, shop.environ)
                try:
                    await asyncio.gather(self._group(shop), self._group(shop))
                    await self._live(shop, book)
                    await self._end(shop, book)
                finally:
                    self.jobs = len(book.asked)
                self.stalled = stalls.longest
                findings, further = await self._judge(shop, book)
                for group in shop.groups:
                    await group.close()
                further += await self._leftovers(shop)
        if findings or further:
            raise HistoryError(findings, further)

    # --- the life of it -----------------------------------------------------------------------------------------

    async def _live(self, shop: Shop, book: Book) -> None:
        rng = self._rng
        stopped = asyncio.Event()
        load = asyncio.create_task(self._load(book, stopped))
        try:
            for _ in range(rng.randint(2, 6)):
                await asyncio.sleep(rng.uniform(0, 0.4))  # the moment is part of the history
                if self._calm or rng.random() < 0.5:
                    act = draw_act(rng)
                    self.faults.append(act.__name__)
                    with contextlib.suppress(
                        BrokerError, NotInTimeError
                    ):  # then it is open what becomes of its jobs
                        await act(shop, book)
                else:
                    await self._do(shop, book, rng.choice(self._kinds))
            while len(book.asked) < _LEAST_JOBS and not load.done():  # noqa: ASYNC110 - a slow machine makes fewer
                await asyncio.sleep(0.05)
        finally:
            stopped.set()
            await load
        while self._background:
            await asyncio.gather(*self._background)
        if not _living(shop):
            await self._group(shop)
        # Longer than the lease, while nothing else is claimed that would renew it.
        if self._lease <= 1:
            await book.ask(
                [Asked(book.tag(), "soak_succeed", (2.5 * self._lease,), want=Want(attempts=1))], "one by one"
            )

    async def _load(self, book: Book, stopped: asyncio.Event) -> None:
        # Its own generator: how many jobs it makes depends on the machine, the faults must not.
        rng = Random(f"{self.carrier}:{self.seed}:load")
        while not stopped.is_set() and len(book.asked) < 150:
            made = [
                draw(rng, book.tag(), lease=self._lease, harm=self._harm and rng.random() < 0.05)
                for _ in range(rng.randint(1, 5))
            ]
            async with self._asking:
                await book.ask(made, book.choose_way(rng))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.uniform(0.0, 0.08)):
                    await stopped.wait()

    async def _group(self, shop: Shop) -> Group:
        rng = self._rng
        with contextlib.suppress(NotInTimeError):  # jobs may be ending its workers already
            await shop.group(
                processes=rng.randint(1, 2),
                concurrency=rng.choice((3, 10, 30)),
                lease=f"{self._lease:g}s",
                grace="1s",
                queues=_QUEUES,
            )
        return shop.groups[-1]

    async def _do(self, shop: Shop, book: Book, fault: str) -> None:  # noqa: C901, PLR0912 - a table of faults
        rng = self._rng
        self.faults.append(fault)
        group = rng.choice(_living(shop) or [await self._group(shop)])
        workers = group.workers
        match fault:
            case "kill worker" if workers:
                pid = rng.choice(workers)
                self._deaths.note([pid], within=min(self._lease, 2.0) + 6.0)
                send(pid, signal.SIGKILL)
            case "kill group":
                self._deaths.note(workers, within=self._lease + 10.0)
                group.kill_all()
                await self._group(shop)
            case "kill supervisor":
                group.kill_supervisor()
                await self._group(shop)
            case "freeze worker" if workers:
                pid = rng.choice(workers)
                self._touched.add(pid)
                send(pid, signal.SIGSTOP)
                self._later(_thaw(pid, rng.uniform(0.2, 1.8) * self._lease))
            case "freeze group":
                group.touched = True
                pids = [group.supervisor, *workers]
                group.stop_all()
                for pid in pids:
                    self._later(_thaw(pid, rng.uniform(1.0, 1.8) * self._lease))
            case "drain":
                group.terminate()
                await self._group(shop)
            case "jump" if self._clock is not None:
                # On and on: what fell back would wait for what was due already.
                ahead = int(self._clock.read_text(encoding="ascii"))
                set_clock(self._clock, ahead + rng.choice((30, 3600)))
            case "cut enqueuer" if self._redis is not None:
                await _cut(self._redis.front, rng, most=50)
            case "cut workers" if self._redis is not None:
                await _cut(self._redis.back, rng, most=3000)
            case "restart redis" if self._redis is not None:
                await asyncio.to_thread(self._redis.server.kill)
                await asyncio.to_thread(self._redis.server.start)
            case "empty redis" if self._redis is not None:
                async with self._asking:
                    await asyncio.to_thread(self._redis.server.call, "FLUSHALL")
                    book.forget()
            case _:
                self.faults[-1] += " (none there)"

    def _later(self, thaw: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(thaw)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _end(self, shop: Shop, book: Book) -> None:
        """Wait until nothing waits or runs; what was left in the middle of an act is cancelled."""

        async def done() -> bool:
            rows = await shop.carrier.counts()
            live = sum(count for row in rows for state, count in row.counts.items() if not state.terminal)
            if live:
                await self._cancel_parked(shop, book)
            return not live

        with contextlib.suppress(NotInTimeError):  # the judgement says which ones
            await until_told(done, "all jobs end", _LONGEST_END, pause=0.1)

    async def _cancel_parked(self, shop: Shop, book: Book) -> None:
        page = await shop.carrier.list(JobQuery(states=(JobState.SCHEDULED,)), limit=500)
        open_tags = {one.tag for one in book.asked.values() if one.want is None}
        parked = [
            one.id
            for one in page.jobs
            if (one.due_ms is None or one.due_ms - one.enqueued_ms > FAR * 500) and tag_of(one) in open_tags
        ]
        if parked:
            await shop.carrier.cancel(parked, "left in the middle of an act")

    # --- the judgement ------------------------------------------------------------------------------------------

    async def _judge(self, shop: Shop, book: Book) -> tuple[list[Finding], list[str]]:
        records = await all_records(shop.carrier)
        done = [fault for fault in self.faults if not fault.endswith("(none there)")]
        # A moment of a busy machine costs nobody his lease, a third of it may.
        timely = not _OUTAGES & set(done) and self.stalled < self._lease / 4
        steady = {
            pid for group in _living(shop) if not group.touched for pid in group.workers
        } - self._touched
        harmful = [fault for fault in done if fault in {*LOST, *REDIS_FAULTS} - _CALM]
        lines = shop.effects()
        findings = judge(
            list(book.asked.values()),
            by_tag(records),
            lines,
            Circumstances(
                harms=len(harmful) if timely else len(harmful) + 3,
                steady=frozenset(steady),
                timely=timely,
                jumped=self._clock is not None,
            ),
        )
        further = await miscounted(shop.carrier, records)
        if timely and not {"freeze worker", "freeze group"} & set(done):
            further += self._deaths.late(lines)
        if self.events and "empty redis" not in done:
            events = [one for one in await all_events(shop.carrier) if one.job_id in {r.id for r in records}]
            told = Ledger([record.id for record in records], records, events, lines)
            try:
                told.check()
            except AssertionError as error:
                further.append(str(error))
        return findings, further

    async def _leftovers(self, shop: Shop) -> list[str]:
        await clean_all(shop.carrier)
        if self._redis is None:
            return [f"left behind: {one}" for one in left_in_sqlite(self._folder / "jobs.db")]
        left = await asyncio.to_thread(left_in_redis, self._redis.server, shop.namespace)
        return [f"left behind: key {one}" for one in left]


def count_by_kind(histories: Sequence[Told]) -> Counter[str]:
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
