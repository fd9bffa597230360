"""The emulator killed in the middle of its work: what it has acknowledged is delivered all the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from headway.emulator.http import HttpServer
from tests.servers import EmulatorServer

if TYPE_CHECKING:
    from starlette.requests import Request

QUEUE = "projects/shop/locations/here/queues/mail"
TASKS = 300
KILL_AT = (60, 150)  # deliveries


async def test_what_was_acknowledged_survives_a_kill() -> None:
    delivered: Counter[str] = Counter()
    news = asyncio.Condition()

    async def run(request: Request) -> Response:
        async with news:
            delivered[request.headers["x-cloudtasks-taskname"]] += 1
            news.notify_all()
        return Response()

    async def seen(count: int) -> None:
        async with asyncio.timeout(40), news:
            await news.wait_for(lambda: len(delivered) >= count)

    target = HttpServer(Starlette(routes=[Route("/run", run, methods=["POST"])]), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{await target.start()}/run"
    with EmulatorServer() as emulator:
        async with grpc.aio.insecure_channel(emulator.address) as channel:
            client: Any = tasks_v2.CloudTasksAsyncClient(
                transport=CloudTasksGrpcAsyncIOTransport(channel=channel)
            )
            rate = {"max_dispatches_per_second": 50}
            await client.create_queue(
                parent=QUEUE.rpartition("/queues/")[0], queue={"name": QUEUE, "rate_limits": rate}
            )

            async def create(number: int) -> None:
                task = {"name": f"{QUEUE}/tasks/t{number}", "http_request": {"url": url}}
                while True:
                    try:
                        await client.create_task(parent=QUEUE, task=task, retry=None, timeout=5)
                    except exceptions.AlreadyExists:
                        return  # an earlier try was applied, and its answer lost with the process
                    except (exceptions.ServiceUnavailable, exceptions.DeadlineExceeded):
                        await channel.channel_ready()
                        continue
                    return

            async def create_all() -> None:
                for number in range(TASKS):
                    await create(number)

            creating = asyncio.create_task(create_all())
            for count in KILL_AT:
                await seen(count)
                await asyncio.to_thread(emulator.kill)
                await asyncio.to_thread(emulator.start)
            await asyncio.wait_for(creating, 40)
            await seen(TASKS)
            assert set(delivered) == {f"t{number}" for number in range(TASKS)}
            # Only what was under way at a kill may come twice.
            assert sum(delivered.values()) - TASKS <= 50 * len(KILL_AT)
    await target.stop()
