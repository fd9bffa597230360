"""The official clients of Cloud Tasks and Cloud Scheduler work against the emulator as they are."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import Request as GoogleRequest
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcAsyncIOTransport,
    CloudSchedulerGrpcTransport,
    CloudSchedulerRestTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import (
    CloudTasksGrpcAsyncIOTransport,
    CloudTasksGrpcTransport,
    CloudTasksRestTransport,
)
from google.oauth2 import id_token
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from headway.emulator.http import HttpServer
from tests.servers import EmulatorServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request

PARENT: Final = "projects/shop/locations/europe-west6"
ROBOT: Final = "robot@shop.iam.gserviceaccount.com"
CLIENTS: Final = Path(__file__).parent / "clients"
NODE_FOLDER: Final = (
    Path(__file__).parents[2] / ".bench" / "clients"
)  # kept from run to run, and ignored by git


@dataclass
class Receiver:
    """A target: keeps what comes, and answers 200."""

    url: str = ""
    requests: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def receive(self, request: Request) -> Response:
        body = await request.body()
        async with self.came:
            self.requests.append((request.headers, body))
            self.came.notify_all()
        return Response()

    async def until(self, count: int) -> list[tuple[Mapping[str, str], bytes]]:
        async with asyncio.timeout(20), self.came:
            await self.came.wait_for(lambda: len(self.requests) >= count)
        return self.requests


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    seen = Receiver()
    server = HttpServer(Starlette(routes=[Route("/", seen.receive, methods=["POST"])]), "127.0.0.1", 0)
    seen.url = f"http://127.0.0.1:{await server.start()}/"
    yield seen
    await server.stop()


def http_task(receiver: Receiver, body: bytes, **fields: Any) -> tasks_v2.Task:
    request = tasks_v2.HttpRequest(
        url=receiver.url, body=body, oidc_token=tasks_v2.OidcToken(service_account_email=ROBOT)
    )
    return tasks_v2.Task(http_request=request, **fields)


def mask(paths: list[str]) -> Any:
    """proto-plus takes the fields of a message as a dictionary, which the clients' types do not say."""
    return {"paths": paths}


def nobody() -> Any:
    return AnonymousCredentials()  # type: ignore[no-untyped-call]


def tasks_client(emulator: EmulatorServer, kind: str) -> tasks_v2.CloudTasksClient:
    if kind == "grpc":
        return tasks_v2.CloudTasksClient(
            transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(emulator.address))
        )
    host = emulator.http_url.removeprefix("http://")
    return tasks_v2.CloudTasksClient(
        transport=CloudTasksRestTransport(host=host, url_scheme="http", credentials=nobody())
    )


def scheduler_client(emulator: EmulatorServer, kind: str) -> scheduler_v1.CloudSchedulerClient:
    if kind == "grpc":
        return scheduler_v1.CloudSchedulerClient(
            transport=CloudSchedulerGrpcTransport(channel=grpc.insecure_channel(emulator.address))
        )
    host = emulator.http_url.removeprefix("http://")
    return scheduler_v1.CloudSchedulerClient(
        transport=CloudSchedulerRestTransport(host=host, url_scheme="http", credentials=nobody())
    )


@pytest.mark.parametrize("kind", ["grpc", "rest"])
async def test_python_blocking(emulator: EmulatorServer, receiver: Receiver, kind: str) -> None:
    queue = f"{PARENT}/queues/python-{kind}"

    def talk() -> None:
        with tasks_client(emulator, kind) as client:
            made = client.create_queue(
                parent=PARENT, queue=tasks_v2.Queue(name=queue, rate_limits={"max_dispatches_per_second": 5})
            )
            assert made.rate_limits.max_dispatches_per_second == 5
            assert made.retry_config.max_attempts == 100
            changed = client.update_queue(
                queue=tasks_v2.Queue(name=queue, retry_config={"max_attempts": 7}),
                update_mask=mask(["retry_config.max_attempts"]),
            )
            assert changed.rate_limits.max_dispatches_per_second == 5
            assert changed.retry_config.max_attempts == 7

            client.pause_queue(name=queue)
            named = http_task(receiver, b"0", name=f"{queue}/tasks/named")
            client.create_task(parent=queue, task=named)
            with pytest.raises(exceptions.Conflict):  # over gRPC its kind AlreadyExists
                client.create_task(parent=queue, task=named)
            for number in range(1, 4):
                client.create_task(parent=queue, task=http_task(receiver, b"%d" % number))
            assert len(list(client.list_tasks(request={"parent": queue, "page_size": 3}))) == 4
            full = client.get_task(request={"name": named.name, "response_view": tasks_v2.Task.View.FULL})
            assert full.http_request.body == b"0"
            client.delete_task(name=named.name)
            with pytest.raises(exceptions.NotFound):
                client.get_task(name=named.name)
            client.resume_queue(name=queue)

    await asyncio.to_thread(talk)
    requests = await receiver.until(3)
    assert sorted(body for _, body in requests) == [b"1", b"2", b"3"]
    headers = requests[0][0]
    assert headers["user-agent"] == "Google-Cloud-Tasks"
    assert headers["x-cloudtasks-queuename"] == f"python-{kind}"
    assert headers["x-cloudtasks-taskretrycount"] == "0"


async def test_python_async(emulator: EmulatorServer, receiver: Receiver) -> None:
    queue = f"{PARENT}/queues/python-async"
    channel = grpc.aio.insecure_channel(emulator.address)
    async with tasks_v2.CloudTasksAsyncClient(
        transport=CloudTasksGrpcAsyncIOTransport(channel=channel)
    ) as client:
        await client.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=queue))
        await asyncio.gather(
            *(
                client.create_task(parent=queue, task=http_task(receiver, b"%d" % number))
                for number in range(20)
            )
        )
        requests = await receiver.until(20)
        assert len(requests) == 20
        await client.delete_queue(name=queue)
        with pytest.raises(exceptions.NotFound):
            await client.get_queue(name=queue)


async def test_googles_verifier_accepts_what_a_task_carries(
    emulator: EmulatorServer, receiver: Receiver
) -> None:
    queue = f"{PARENT}/queues/tokens"
    with tasks_client(emulator, "grpc") as client:
        client.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=queue))
        client.create_task(parent=queue, task=http_task(receiver, b"{}"))
        ((headers, _),) = await receiver.until(1)

    kind, _, token = headers["authorization"].partition(" ")
    claims: Any = await asyncio.to_thread(
        id_token.verify_token, token, GoogleRequest(), receiver.url, emulator.certs_url
    )
    assert kind == "Bearer"
    assert (claims["email"], claims["iss"]) == (ROBOT, "https://accounts.google.com")


@pytest.mark.parametrize("kind", ["grpc", "rest"])
async def test_python_scheduler(emulator: EmulatorServer, receiver: Receiver, kind: str) -> None:
    name = f"{PARENT}/jobs/nightly-{kind}"

    def talk() -> None:
        with scheduler_client(emulator, kind) as client:
            made = client.create_job(
                parent=PARENT,
                job=scheduler_v1.Job(
                    name=name,
                    schedule="0 3 * * *",
                    time_zone="Europe/Zurich",
                    http_target={
                        "uri": receiver.url,
                        "body": b"{}",
                        "oidc_token": {"service_account_email": ROBOT},
                    },
                ),
            )
            assert made.state == scheduler_v1.Job.State.ENABLED
            changed = client.update_job(
                job=scheduler_v1.Job(name=name, http_target={"headers": {"X-Kind": kind}}),
                update_mask=mask(["http_target.headers"]),
            )
            assert changed.http_target.body == b"{}"
            with pytest.raises(exceptions.Conflict):
                client.create_job(parent=PARENT, job=made)
            with pytest.raises(exceptions.BadRequest):
                client.update_job(
                    job=scheduler_v1.Job(name=name, schedule="never"), update_mask=mask(["schedule"])
                )
            client.pause_job(name=name)
            with pytest.raises(exceptions.BadRequest):
                client.pause_job(name=name)
            assert client.resume_job(name=name).state == scheduler_v1.Job.State.ENABLED
            assert name in [job.name for job in client.list_jobs(request={"parent": PARENT, "page_size": 1})]
            client.run_job(name=name)

    await asyncio.to_thread(talk)
    ((headers, body),) = await receiver.until(1)
    assert body == b"{}"
    assert headers["x-kind"] == kind
    assert headers["x-cloudscheduler-jobname"] == f"nightly-{kind}"
    assert headers["authorization"].startswith("Bearer ")

    def end() -> None:
        with scheduler_client(emulator, kind) as client:
            client.delete_job(name=name)
            with pytest.raises(exceptions.NotFound):
                client.get_job(name=name)

    await asyncio.to_thread(end)


async def test_python_scheduler_async(emulator: EmulatorServer) -> None:
    channel = grpc.aio.insecure_channel(emulator.address)
    async with scheduler_v1.CloudSchedulerAsyncClient(
        transport=CloudSchedulerGrpcAsyncIOTransport(channel=channel)
    ) as client:
        made = await client.create_job(
            parent=PARENT,
            job=scheduler_v1.Job(schedule="0 3 * * *", http_target={"uri": "http://127.0.0.1:1/"}),
        )
        assert made in [job async for job in await client.list_jobs(parent=PARENT)]
        await client.delete_job(name=made.name)


async def test_everything_survives_a_kill(receiver: Receiver) -> None:
    queue, job = f"{PARENT}/queues/kept", f"{PARENT}/jobs/kept"
    with EmulatorServer() as server:
        with tasks_client(server, "grpc") as tasks, scheduler_client(server, "grpc") as scheduler:
            tasks.create_queue(parent=PARENT, queue=tasks_v2.Queue(name=queue))
            tasks.pause_queue(name=queue)
            tasks.create_task(parent=queue, task=http_task(receiver, b"kept"))
            kept = scheduler.create_job(
                parent=PARENT,
                job=scheduler_v1.Job(name=job, schedule="0 3 * * *", http_target={"uri": receiver.url}),
            )
        keys = await asyncio.to_thread(GoogleRequest(), server.certs_url)

        server.kill()
        server.start()

        assert server.state.stat().st_mode & 0o777 == 0o600
        assert (await asyncio.to_thread(GoogleRequest(), server.certs_url)).data == keys.data
        with tasks_client(server, "grpc") as tasks, scheduler_client(server, "grpc") as scheduler:
            assert scheduler.get_job(name=job) == kept
            tasks.resume_queue(name=queue)
            ((_, body),) = await receiver.until(1)
            assert body == b"kept"


def run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def node_client() -> Path:
    """Install the Node client once; skip where that cannot be done."""
    npm = shutil.which("npm")
    if shutil.which("node") is None or npm is None:
        pytest.skip("node and npm are not on PATH")
    NODE_FOLDER.mkdir(parents=True, exist_ok=True)
    with (NODE_FOLDER / ".lock").open("w") as lock:
        # Test processes share the folder: what one is writing another must not read, or write as well.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(npm)
    return NODE_FOLDER / "tasks.mjs"


def _install(npm: str) -> None:
    wanted = (CLIENTS / "package-lock.json").read_bytes()
    stamp = NODE_FOLDER / ".pins"
    for file in CLIENTS.iterdir():
        copy = NODE_FOLDER / file.name
        if not copy.exists() or copy.read_bytes() != file.read_bytes():
            shutil.copy2(file, copy)
    if not stamp.exists() or stamp.read_bytes() != wanted:
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=NODE_FOLDER, capture_output=True, text=True, timeout=150, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.skip(f"npm cannot install @google-cloud/tasks: {done.stderr.strip()[:300]}")
        stamp.write_bytes(wanted)


@pytest.mark.slow
@pytest.mark.timeout(200)  # npm may have to fetch the client first
@pytest.mark.xdist_group("node")
@pytest.mark.parametrize("kind", ["grpc", "rest"])
async def test_node(emulator: EmulatorServer, receiver: Receiver, node_client: Path, kind: str) -> None:
    port = emulator.port if kind == "grpc" else emulator.http_port

    said = await asyncio.to_thread(
        run, ["node", str(node_client), kind, "127.0.0.1", str(port), receiver.url], cwd=node_client.parent
    )

    assert json.loads(said) == {
        "attempts": 3,
        "rate": 500,
        "updated": [50, 3],
        "paused": "PAUSED",
        "duplicate": 6,
        "missing": 5,
        "body": json.dumps({"from": kind}, separators=(",", ":")),
        "listed": 5,
        "resumed": "RUNNING",
    }
    requests = await receiver.until(5)
    assert {headers["x-cloudtasks-queuename"] for headers, _ in requests} == {f"node-{kind}"}
    assert {headers["content-type"] for headers, _ in requests} == {"application/json"}


class Gcloud:
    """Google's command line, told where the emulator is; with a configuration of its own and no credentials."""

    def __init__(self, emulator: EmulatorServer, folder: Path) -> None:
        self._environment = {
            "CLOUDSDK_CONFIG": str(folder),
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
            "CLOUDSDK_CORE_PROJECT": "shop",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS": f"{emulator.http_url}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDSCHEDULER": f"{emulator.http_url}/",
        }

    async def __call__(self, *words: str) -> Any:
        command = ["gcloud", *words, "--location=europe-west6", "--format=json", "--quiet"]
        said = await asyncio.to_thread(run, command, env=self._environment)
        return json.loads(said or "null")


@pytest.fixture
def gcloud(emulator: EmulatorServer, tmp_path: Path) -> Gcloud:
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not on PATH")
    return Gcloud(emulator, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(200)  # each command of gcloud takes a second or two
async def test_gcloud_tasks(gcloud: Gcloud, receiver: Receiver) -> None:
    await gcloud("tasks", "queues", "create", "mail", "--max-dispatches-per-second=5")
    await gcloud("tasks", "queues", "pause", "mail")
    (queue,) = [found for found in await gcloud("tasks", "queues", "list") if found["name"].endswith("/mail")]
    assert queue["state"] == "PAUSED"

    for task in ("one", "two"):
        await gcloud(
            "tasks", "create-http-task", task, "--queue=mail", f"--url={receiver.url}", f"--body-content={task}",
            f"--oidc-service-account-email={ROBOT}",
        )  # fmt: skip
    await gcloud("tasks", "run", "one", "--queue=mail")
    await receiver.until(1)
    await gcloud("tasks", "delete", "two", "--queue=mail")
    url = urlsplit(receiver.url)
    override = f"--http-uri-override=scheme:http,host:{url.hostname},port:{url.port},path:{url.path}"
    await gcloud("tasks", "queues", "update", "mail", override, "--max-attempts=7")
    queue = await gcloud("tasks", "queues", "describe", "mail")
    assert (queue["rateLimits"]["maxDispatchesPerSecond"], queue["retryConfig"]["maxAttempts"]) == (5.0, 7)
    await gcloud("tasks", "buffer", "--queue=mail")
    await gcloud("tasks", "buffer", "--queue=mail", "--task-id=three")
    assert len(await gcloud("tasks", "list", "--queue=mail")) == 2
    await gcloud("tasks", "run", "three", "--queue=mail")
    await receiver.until(2)
    await gcloud("tasks", "queues", "resume", "mail")
    await receiver.until(3)
    await gcloud("tasks", "queues", "purge", "mail")
    await gcloud("tasks", "queues", "delete", "mail")
    # gcloud sends an empty object where it has nothing to say, and a buffered task is what was sent.
    assert [body for _, body in receiver.requests] == [b"one", b"{}", b"{}"]


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_gcloud_scheduler(gcloud: Gcloud, receiver: Receiver) -> None:
    job = ("scheduler", "jobs")
    await gcloud(
        *job, "create", "http", "by-gcloud", "--schedule=0 3 * * *", f"--uri={receiver.url}",
        "--time-zone=Europe/Zurich", "--message-body={}", "--max-retry-attempts=2",
    )  # fmt: skip
    await gcloud(*job, "update", "http", "by-gcloud", "--schedule=5 3 * * *")
    await gcloud(*job, "pause", "by-gcloud")
    await gcloud(*job, "run", "by-gcloud")
    ((headers, body),) = await receiver.until(1)
    assert (headers["x-cloudscheduler-jobname"], body) == ("by-gcloud", b"{}")
    shown = await gcloud(*job, "describe", "by-gcloud")
    assert (shown["state"], shown["schedule"], shown["retryConfig"]["retryCount"]) == (
        "PAUSED",
        "5 3 * * *",
        2,
    )
    await gcloud(*job, "resume", "by-gcloud")
    await gcloud(*job, "delete", "by-gcloud")
