"""Copies on Redis and on Cloud Tasks, as source and as goal, with real workers and receivers: no handler runs for them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn

from headway import Headway, Retry, RetryLater
from headway.brokers.base import JobQuery, QueueWant
from headway.brokers.url import pulled
from headway.emulator.credentials import Credentials
from headway.emulator.server import Emulator
from headway.job import SHADOW_QUEUE, JobState, WorkerId
from headway.push import receiver
from headway.routing.declared import Declared
from headway.routing.emptying import left_on, move_off
from headway.routing.moving import move_waiting
from headway.routing.table import RouteTable
from headway.routing.verifying import verify
from headway.runtime.worker import Worker
from tests.faults.until import until_told
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headway.job import JobRecord


class Two:
    """An app on Redis and Cloud Tasks, in which each job of the queue is copied to the other carrier."""

    def __init__(self, app: Headway, source: str, goal: str, port: int) -> None:
        self.app, self.source, self.goal, self.port = app, source, goal, port
        self.ran: list[str] = []

        async def look(number: int) -> None:
            self.ran.append(f"look {number}")
            if number % 2:
                raise RetryLater(1)
            msg = "not there"
            raise RuntimeError(msg)

        @app.task(name="report", queue="reports", retry=Retry.after(0.01), shadow=look)
        async def report(number: int) -> None:
            self.ran.append(f"report {number}")

        @app.task(name="charge", queue="reports")
        async def charge(number: int) -> None:
            self.ran.append(f"charge {number}")

        self.report, self.charge = report, charge

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """A worker, and a receiver on a port."""
        async with AsyncExitStack() as stack:
            pushed = await stack.enter_async_context(receiver(self.app, handle_sigterm=False))
            config = uvicorn.Config(pushed, port=self.port, lifespan="off", log_config=None, ws="none")
            server, worker = uvicorn.Server(config), Worker(self.app)
            tasks = [asyncio.create_task(server.serve()), asyncio.create_task(worker.run())]
            yield
            worker.stop()
            server.should_exit = True
            await asyncio.gather(*tasks)

    async def copies(self, carrier: str) -> list[JobRecord]:
        query = JobQuery(queues=(SHADOW_QUEUE,))
        return list((await self.app.carriers[carrier].list(query)).jobs)

    async def arrived(self, carrier: str, count: int) -> list[JobRecord]:
        async def there() -> list[JobRecord] | None:
            found = await self.copies(carrier)
            return found if len(found) >= count else None

        return await until_told(there, f"{count} copies on {carrier}")

    async def ended(self, *ids: str) -> list[JobState]:
        return list(await asyncio.gather(*(self.app.job(one).wait(30) for one in ids)))


@pytest.fixture(params=[("main", "push"), ("push", "main")], ids=["redis-push", "push-redis"])
async def two(
    request: pytest.FixtureRequest, redis_url: str, namespace: str, tmp_path: Path
) -> AsyncIterator[Two]:
    source, goal = request.param
    port = free_port()
    async with Emulator(credentials=Credentials(secret=b"shared")) as emulator:
        app = Headway(
            namespace,
            carriers={
                "main": redis_url,
                "push": f"cloudtasks://p1/here?emulator={emulator.grpc_address}",
            },
            routes={"reports": {source: 100, "shadow": f"{goal}=100"}},
            guard=f"sqlite:///{tmp_path}/guard.db",
            target=f"http://127.0.0.1:{port}/",
            push_secret="shared",
        )
        made = Two(app, source, goal, port)
        async with app:
            yield made


async def test_copies_run_once_and_only_as_what_the_task_has_for_them(two: Two) -> None:
    async with two.running():
        handles = await two.app.enqueue_many(
            [two.report.job(1), two.report.job(2), two.charge.job(3), two.charge.job(4)]
        )
        assert await two.ended(*(one.id for one in handles)) == [JobState.SUCCEEDED] * 4
        copies = {one.id: one.task for one in await two.arrived(two.goal, 4)}
        states = dict(zip(copies, await two.ended(*copies), strict=True))
        assert sorted((copies[one], state) for one, state in states.items()) == [
            ("shadow-of-charge", JobState.SUCCEEDED),
            ("shadow-of-charge", JobState.SUCCEEDED),
            ("shadow-of-report", JobState.FAILED),
            ("shadow-of-report", JobState.FAILED),
        ]
        assert sorted(two.ran) == ["charge 3", "charge 4", "look 1", "look 2", "report 1", "report 2"]
        # Given a new life by hand, a copy is still a copy.
        again = next(one for one, task in copies.items() if task == "shadow-of-report")
        assert await two.app.carriers[two.goal].retry([two.app.job(again).id]) == [True]
        assert await two.ended(again) == [JobState.FAILED]
        assert len([one for one in two.ran if one.startswith("look")]) == 3
        assert len(two.ran) == 7
    assert {one.queue for one in await two.copies(two.source)} == set()


async def test_a_copy_that_is_moved_stays_a_copy_and_a_drain_leaves_copies(two: Two) -> None:
    """Nothing runs here until all of them have been moved about."""
    handles = await two.app.enqueue_many([two.report.job(1), two.charge.job(2)])
    await two.arrived(two.goal, 2)
    declared = Declared(tuple(two.app.carriers))
    assert await left_on(two.app.carriers[two.goal]) == []
    table = RouteTable(drained={two.goal: two.source})
    assert await move_off(two.app.carriers, declared, table, two.goal) == {}
    assert len(await two.copies(two.goal)) == 2
    found = await verify(two.app.carriers, declared, RouteTable())
    assert [*found.doubles, *found.gone] == []
    assert not [one for one in found.stranded if one.queue == SHADOW_QUEUE]
    if two.app.carriers[two.goal].capabilities.mover is not None:
        done = await move_waiting(two.app.carriers, SHADOW_QUEUE, two.goal, two.source)
        assert (done.moved, done.refused) == (2, ())
        assert len(await two.copies(two.source)) == 2
    async with two.running():
        await two.ended(*(one.id for one in handles))
        copies = [*await two.copies(two.source), *await two.copies(two.goal)]
        assert len(copies) == 2  # a move makes no further ones
        await two.ended(*(one.id for one in copies))
    assert sorted(two.ran) == ["charge 2", "look 1", "report 1"]


@pytest.mark.parametrize("two", [("push", "main")], indirect=True)
async def test_a_copy_whose_worker_died_is_not_begun_again(two: Two) -> None:
    redis = pulled(two.app.carriers["main"])
    await two.report.enqueue(1)
    [copy] = await two.arrived("main", 1)
    claimed = await redis.claim(
        [QueueWant(SHADOW_QUEUE, 1)], worker=WorkerId("dead"), limit=1, lease_ms=60_000
    )
    assert [one.lease.job_id for one in claimed.deliveries] == [copy.id]
    await redis.surrender(WorkerId("dead"), started=None)
    async with two.running():
        assert await two.ended(copy.id) == [JobState.FAILED]
    assert "look 1" not in two.ran
