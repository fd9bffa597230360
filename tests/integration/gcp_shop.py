"""An app with all that `headway gcp` keeps, in a project of its own: on the emulator, and on fakes of what has none."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import grpc  # type: ignore[import-untyped]
from click.testing import CliRunner, Result
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerGrpcTransport
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from headway.brokers.cloudtasks.location import EMULATOR_VARIABLE
from headway.cli.root import cli
from tests.servers.gcp_fakes import GcpFakes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from tests.servers import EmulatorServer

HEAD = """
from datetime import timedelta
from headway import Headway
from headway.gcp import Deployment, Queue, Secret, Service, Subscription, Topic

app = Headway("shop", url="cloudtasks://{project}/europe-west1", service_account="{account}")

@app.task(name="extract", queue="extract", timeout=timedelta(minutes=60))
async def extract() -> None: ...

@app.task(name="fetch", queue="io")
async def fetch() -> None: ...

@app.cron("0 3 * * *", timezone="Europe/Zurich", name="nightly")
@app.task(name="tidy", queue="io")
async def tidy() -> None: ...

services = [
    Service("extract", "worker:1", ["extract"], cpu=2, memory="2Gi", timeout=timedelta(minutes=60)),
    Service("io", "worker:1", ["io"], memory="1Gi", env={{"TOKEN": Secret("token"), "PLAIN": "hunter2"}}),
]
queues = {{"io": Queue(rate=100)}}
topics = [Topic("uploads", retention=timedelta(days=1)), Topic("dead")]
subscriptions = [Subscription("incoming", "uploads", dead_letter="dead")]
"""
TAIL = """
deployment = Deployment(services=services, queues=queues, topics=topics, subscriptions=subscriptions)
"""
ALL = 2 + 1 + 2 + (1 + 1 + 2 + 2) + 2 + 1  # topics, subscriptions, services, bindings, queues, schedules


class Shop:
    """An app in a project of its own, and the command beside it."""

    def __init__(self, folder: Path, emulator: EmulatorServer, fakes: GcpFakes) -> None:
        self.folder = folder
        self.project = fakes.project
        self.fakes = fakes
        self.parent = f"projects/{self.project}/locations/europe-west1"
        self.module = ""
        self.account = f"invoker@{self.project}.iam.gserviceaccount.com"
        self.environment = {**emulator.environment, **fakes.environment}
        channel = grpc.insecure_channel(emulator.address)
        self.tasks = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
        self.scheduler = scheduler_v1.CloudSchedulerClient(
            transport=CloudSchedulerGrpcTransport(channel=channel)
        )
        self._channel = channel
        self.write()

    def close(self) -> None:
        self._channel.close()
        sys.modules.pop(self.module, None)

    def write(self, changes: str = "") -> None:
        """Have the app with these changes of its deployment, as a new module: as after an edit."""
        sys.modules.pop(self.module, None)
        self.module = f"gcp_shop_{uuid4().hex}"
        source = HEAD.format(project=self.project, account=self.account) + changes + TAIL
        (self.folder / f"{self.module}.py").write_text(source, encoding="utf-8")

    def run(self, command: str, *args: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(
            cli,
            ["gcp", command, f"{self.module}:app", *args],
            env=self.environment,
            input=answer,
            prog_name="headway",
        )

    def ok(self, command: str, *args: str) -> str:
        result = self.run(command, *args)
        assert result.exit_code == 0, result.output
        return result.stdout

    def pending(self) -> list[tuple[str, str, str]]:
        result = self.run("plan", "--json")
        assert result.exit_code in {0, 3}, result.output
        document = json.loads(result.stdout)
        steps = [(s["action"], s["kind"], s["name"]) for s in document["steps"] if s["action"] != "keep"]
        assert (result.exit_code == 3) == document["pending"] == bool(steps)
        return steps

    def states(self) -> dict[tuple[str, str], str]:
        found = json.loads(self.ok("status", "--json"))["resources"]
        return {(one["kind"], one["name"]): one["state"] for one in found}

    def queue(self, name: str) -> tasks_v2.Queue:
        return self.tasks.get_queue(name=f"{self.parent}/queues/{name}")

    def queues(self) -> set[str]:
        return {queue.name.rpartition("/")[2] for queue in self.tasks.list_queues(parent=self.parent)}

    def jobs(self) -> dict[str, scheduler_v1.Job]:
        return {job.name.rpartition("/")[2]: job for job in self.scheduler.list_jobs(parent=self.parent)}

    def make_queue(self, name: str) -> None:
        """Make a queue by hand."""
        self.tasks.create_queue(parent=self.parent, queue=tasks_v2.Queue(name=f"{self.parent}/queues/{name}"))

    def put_task(self, queue: str) -> None:
        task = tasks_v2.Task(http_request=tasks_v2.HttpRequest(url="http://127.0.0.1:9/"))
        self.tasks.pause_queue(name=f"{self.parent}/queues/{queue}")
        self.tasks.create_task(parent=f"{self.parent}/queues/{queue}", task=task)


@contextmanager
def open_shop(emulator: EmulatorServer, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Start the fakes; the app's module is in `folder`, which becomes the current one."""
    project = f"p{uuid4().hex[:12]}"
    patch.chdir(folder)
    patch.setattr(sys, "path", [str(folder), *sys.path])
    for name in (EMULATOR_VARIABLE, "HEADWAY_URL", "HEADWAY_TARGET", "HEADWAY_TARGETS"):
        patch.delenv(name, raising=False)
    with GcpFakes(project) as fakes:
        fakes.accounts.add(f"projects/{project}/serviceAccounts/invoker@{project}.iam.gserviceaccount.com")
        shop = Shop(folder, emulator, fakes)
        try:
            yield shop
        finally:
            shop.close()
