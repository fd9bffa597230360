"""Blocking enqueues on SQLite: the thread that writes takes jobs from any thread, without a turn of the loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING

from headway import Headway
from headway.brokers.base import BrokerSettings
from headway.brokers.sqlite.broker import SqliteBroker
from headway.job import JobState, NewJob, new_job_id

if TYPE_CHECKING:
    from pathlib import Path

THREADS = 6


def job(key: str | None = None) -> NewJob:
    return NewJob(new_job_id(), "shop.pay", "q", b"x", key=key)


def broker(file: Path, options: str = "") -> SqliteBroker:
    return SqliteBroker(f"sqlite:///{file}{options}", BrokerSettings("app"))


async def test_a_job_is_there_when_the_call_returns(tmp_path: Path) -> None:
    async with broker(tmp_path / "headway.db") as carrier:
        first, second = job(key="k"), job(key="k")
        assert await asyncio.to_thread(carrier.enqueue_blocking, first)
        [record] = await carrier.get([first.id])
        assert record is not None
        assert record.state is JobState.READY
        # Whose duplicate it is, the usual way tells.
        assert not await asyncio.to_thread(carrier.enqueue_blocking, second)
        assert (await carrier.enqueue([second]))[0].duplicate_of == first.id


async def test_what_cannot_be_accepted_at_once_goes_the_usual_way(tmp_path: Path) -> None:
    carrier = broker(tmp_path / "headway.db", "?timeout=0.05")
    assert not carrier.enqueue_blocking(job())  # not open
    async with carrier:
        other = sqlite3.connect(tmp_path / "headway.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert not await asyncio.to_thread(carrier.enqueue_blocking, job())
        other.close()
        assert await asyncio.to_thread(carrier.enqueue_blocking, job())


async def test_closing_beside_blocking_callers_leaves_none_waiting_and_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "headway.db"
    for _ in range(5):
        carrier = broker(file)
        await carrier.open()
        accepted: list[NewJob] = []

        def enqueue_until_closed(carrier: SqliteBroker = carrier, accepted: list[NewJob] = accepted) -> None:
            while carrier.enqueue_blocking(one := job()):
                accepted.append(one)

        threads = [threading.Thread(target=enqueue_until_closed, daemon=True) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        while len(accepted) < 20:  # noqa: ASYNC110 - counted by threads
            await asyncio.sleep(0.001)
        await carrier.close()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        async with broker(file) as again:
            assert None not in await again.get([one.id for one in accepted])


async def test_the_blocking_twin_needs_no_turn_of_the_loop(tmp_path: Path) -> None:
    app = Headway("app", url=f"sqlite:///{tmp_path / 'headway.db'}")

    @app.task(name="pay")
    def pay(amount: int) -> None: ...

    async with app:
        handles: list[str] = []
        thread = threading.Thread(target=lambda: handles.append(pay.sync.enqueue(7).id))
        thread.start()
        thread.join(20)  # the loop stands still meanwhile
        assert len(handles) == 1
        [record] = await app.carrier.get([app.job(handles[0]).id])
        assert record is not None
        assert record.task == "pay"
