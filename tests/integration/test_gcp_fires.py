"""One job a fire time: beside other schedulers, and from the declaration to the job."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from msgspec.structs import replace

from headway.clock import from_ms, to_ms
from headway.emulator.credentials import Credentials
from headway.emulator.faults import Dice, Faults
from headway.emulator.journal import Journal
from headway.emulator.scheduler.part import CloudScheduler
from headway.emulator.server import Emulator
from headway.emulator.target import HttpAnswer
from headway.emulator.targets import Targets
from headway.emulator.tokens import CERTS_PATH, Tokens
from headway.push import receiver
from headway.runtime.scheduler import Scheduler
from headway.service import Services
from headway.testing import FakeClock
from tests.integration.gcp_scheduled import THREE, Scheduled, make_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from headway import Headway
    from headway.emulator.target import HttpCall
    from tests.servers import EmulatorServer


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(to_ms(THREE + timedelta(seconds=1)))


@pytest.fixture
async def scheduled(
    emulator: EmulatorServer, namespace: str, tmp_path: Path, clock: FakeClock
) -> AsyncIterator[Scheduled]:
    app = make_app(namespace, emulator, tmp_path, clock)
    async with app:
        yield Scheduled(app, clock)


async def test_beside_schedulers_of_our_own_each_fire_time_makes_one_job(
    scheduled: Scheduled,
    emulator: EmulatorServer,
    namespace: str,
    tmp_path: Path,
    clock: FakeClock,
) -> None:
    looked: asyncio.Queue[int] = asyncio.Queue()

    def scheduler(app: Headway) -> Callable[[], Awaitable[float]]:
        scheduler = Scheduler(app, services.remarks)

        async def look_and_tell() -> float:
            pause = await scheduler.round()
            looked.put_nowait(id(app))
            return pause

        return look_and_tell

    services = Services(logging.getLogger("headway.test"), "others")
    await scheduled.call(THREE)
    others = [make_app(namespace, emulator, tmp_path, clock) for _ in range(2)]
    async with others[0], others[1]:
        for day in range(1, 6):
            fire = THREE + timedelta(days=day)
            scheduled.set(fire + timedelta(milliseconds=day))
            for app in others:
                services.start(f"schedules {id(app)}", scheduler(app))
            answers = await asyncio.gather(*(scheduled.call(fire) for _ in range(3)))
            assert answers == [200] * 3
            async with asyncio.timeout(30):
                assert {await looked.get(), await looked.get()} == set(map(id, others))
            await services.stop()
            assert await scheduled.jobs() == day + 1
            [record] = await scheduled.app.carrier.schedules()
            assert record.last_fire_ms == to_ms(fire)


SHOP = """
from headway import Headway

def make(name, emulator="", **settings):
    app = Headway(
        name,
        url="cloudtasks://demo/europe-west6" + (f"?emulator={emulator}" if emulator else ""),
        target="http://receiver.example/",
        service_account="invoker@demo.iam.gserviceaccount.com",
        **settings,
    )

    @app.cron("0 3 * * *", name="nightly")
    @app.task(name="tidy")
    async def tidy() -> None: ...

    return app
"""


async def test_what_apply_declares_the_emulator_fires_with_a_token_and_the_receiver_makes_one_job(
    namespace: str, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"shop_{uuid4().hex}"
    (tmp_path / f"{module}.py").write_text(f"{SHOP}\napp = make({namespace!r})\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    calls: list[HttpCall] = []
    journal, tokens = Journal(), Tokens(clock=clock)
    credentials = Credentials(tokens, targets=Targets(["http://receiver.example/"]))

    async def deliver(call: HttpCall) -> HttpAnswer:
        calls.append(call)
        transport = httpx.ASGITransport(app=receiving)
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.post(call.url, content=call.body, headers=call.headers)
        return HttpAnswer(answer.status_code, dict(answer.headers))

    scheduler = CloudScheduler(
        journal, clock, Dice(Faults()), deliver=deliver, credentials=credentials, automatic=False
    )
    emulator = Emulator(
        journal=journal,
        clock=clock,
        credentials=credentials,
        automatic=False,
        parts=[scheduler],
        extra_routes=tokens.routes(),
    )
    async with emulator:
        app = import_module(module).make(
            namespace,
            emulator.grpc_address,
            guard=f"sqlite:///{tmp_path}/guard.db",
            token_keys=f"{emulator.http_address}{CERTS_PATH}",
            clock=clock,
        )
        receiving = receiver(app, handle_sigterm=False)
        environment = {**os.environ, "CLOUD_TASKS_EMULATOR_HOST": emulator.grpc_address}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from headway.cli import main; main()", "gcp", "apply", f"{module}:app",
            cwd=tmp_path, env=environment, stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        assert f"created schedule {namespace}-nightly" in said.decode()
        async with app:

            async def jobs() -> int:
                return sum(sum(one.counts.values()) for one in await app.carrier.counts())

            assert await scheduler.dispatcher.turn() == 0
            for day in range(1, 4):
                clock.advance(THREE + timedelta(days=day) - from_ms(clock.now_ms()))
                assert await scheduler.dispatcher.turn() == 1
                assert await scheduler.dispatcher.turn() == 0
                assert await jobs() == day
            assert all(call.headers["Authorization"].startswith("Bearer ") for call in calls)
            stranger = {**calls[0].headers, "Authorization": f"Bearer {Tokens(clock=clock).sign('x', 'y')}"}
            answer = await deliver(replace(calls[0], headers=stranger))
            assert (answer.status, await jobs()) == (401, 3)
