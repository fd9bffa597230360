"""A roll-out for real: workers, jobs and figures on SQLite and Redis; a fault rolls it back, mended it completes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest

from headway import Context, Headway, Retry
from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url
from headway.errors import JobFailedError
from headway.job import mark_of
from headway.push import receiver
from headway.routing.changing import control_of, read_routes
from headway.routing.declared import Declared
from headway.routing.keeping import read_rollout
from headway.routing.rollout.plan import Plan
from headway.routing.rollout.rollout import Act, Reason, Status
from headway.routing.steering import begin
from headway.routing.verifying import verify
from headway.runtime.worker import Worker
from tests.unit.push_scene import FakePush

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headway.routing.keeping import StoredRollout

QUEUE: Final = "mail"
DECLARED: Final = Declared(("east", "west"))
PLAN: Final = Plan(queue=QUEUE, to="west", steps=(20, 60, 100), every_ms=1000, delay_ms=0, min_jobs=20, max_error_rate=0.1)  # fmt: skip
DEADLINE: Final = 40.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let figures be written, looks be made and routes be followed many times a second."""
    monkeypatch.setattr("headway.app.counting.PAUSE", 0.1)
    monkeypatch.setattr("headway.routing.controller.LOOK", 0.1)
    monkeypatch.setattr("headway.routing.controller.IDLE", 0.1)
    monkeypatch.setattr("headway.routing.changing.SETTLING", 0.0)
    monkeypatch.setattr("headway.routing.following.SETTLING", 0.0)
    monkeypatch.setattr("headway.routing.following._OLDEST", 0.0)


class Scene:
    """An app whose handler fails on the new side while `broken`."""

    def __init__(self, namespace: str, urls: dict[str, str]) -> None:
        self.app = Headway(namespace, carriers=urls, concurrency=8)
        self.broken = False
        self.enqueued: list[str] = []

        @self.app.task(queue=QUEUE, retry=Retry.never())
        async def send(ctx: Context, number: int) -> int:
            if self.broken and ctx.job_id[-1] == mark_of("west"):
                msg = "the new side cannot do that"
                raise RuntimeError(msg)
            return number

        self.send = send

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run two workers, and enqueue all the time."""
        async with self.app:
            workers = [Worker(self.app), Worker(self.app)]
            running = [asyncio.create_task(one.run()) for one in workers]
            feeding = asyncio.create_task(self._feed())
            try:
                yield
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)
                await self._ends()
                for one in workers:
                    one.stop()
                await asyncio.gather(*running)

    async def _feed(self) -> None:
        while True:
            handles = await self.app.enqueue_many([self.send.job(number) for number in range(10)])
            self.enqueued.extend(one.id for one in handles)
            await asyncio.sleep(0.05)

    async def _ends(self) -> None:
        """Wait until each job has ended."""
        for one in self.enqueued:
            try:
                await self.app.job(one).result(timeout=DEADLINE)
            except JobFailedError:
                continue

    async def begin(self) -> None:
        await begin(control_of(self.app.carriers), DECLARED, PLAN, self.app.clock, who="ann")

    async def stored(self) -> StoredRollout:
        found = await read_rollout(control_of(self.app.carriers), QUEUE)
        assert found is not None
        return found

    async def reaches(self, step: int) -> StoredRollout:
        """Wait until it is at a step, or over."""
        async with asyncio.timeout(DEADLINE):
            while True:
                stored = await self.stored()
                if stored.rollout.step >= step or stored.rollout.status.over:
                    return stored
                await asyncio.sleep(0.05)

    async def weights(self) -> dict[str, int]:
        table = (await read_routes(control_of(self.app.carriers), self.app.clock)).table
        return DECLARED.route(table, QUEUE).weights

    async def over(self) -> StoredRollout:
        """Wait until it is over, and its route in force."""
        async with asyncio.timeout(DEADLINE):
            while True:
                stored = await self.stored()
                if stored.rollout.status.over and await self.weights() == stored.rollout.route.weights:
                    return stored
                await asyncio.sleep(0.05)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", ["sqlite", "redis"])
async def test_a_fault_on_the_new_side_rolls_it_back_and_mended_it_completes(
    tmp_path: Path, namespace: str, first: str, request: pytest.FixtureRequest
) -> None:
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in DECLARED.carriers}
    if first == "redis":
        urls["east"] = request.getfixturevalue("redis_url")
    scene = Scene(namespace, urls)
    async with scene.working():
        await scene.begin()
        assert await scene.weights() == {"east": 80, "west": 20}
        await scene.reaches(1)
        scene.broken = True
        stored = await scene.over()
        assert stored.rollout.status is Status.ROLLED_BACK
        assert await scene.weights() == {"east": 100}
        last = stored.decisions[-1]
        assert (last.act, last.reason) == (Act.ROLL_BACK, Reason.BROKEN)
        assert last.text.startswith("error rate ")
        assert last.judgements

        scene.broken = False
        await scene.begin()
        stored = await scene.over()
        assert stored.rollout.status is Status.COMPLETED
        assert await scene.weights() == {"west": 100}
        table = (await read_routes(control_of(scene.app.carriers), scene.app.clock)).table
        assert table.version == 6  # 20, 60, back; 20, 60, 100: each step once, with two controllers
        found = await verify(scene.app.carriers, DECLARED, table)
    assert not found.doubles


async def test_a_receiver_looks_at_roll_outs_too(tmp_path: Path) -> None:
    settings = BrokerSettings("pushed")
    east, west = (from_url(f"sqlite:///{tmp_path}/{name}.db", settings) for name in DECLARED.carriers)
    app = Headway("pushed", carrier={"east": east, "west": west, "push": FakePush().carrier})

    @app.task(queue=QUEUE)
    async def send() -> None: ...

    async with receiver(app, handle_sigterm=False), asyncio.timeout(DEADLINE):
        control = control_of(app.carriers)
        await begin(control, DECLARED, PLAN, app.clock, who="ann")
        while (found := await read_rollout(control, QUEUE)) is None or found.rollout.unconfirmed:  # noqa: ASYNC110 - of a store
            await asyncio.sleep(0.02)
    assert found.rollout.status is Status.RUNNING
