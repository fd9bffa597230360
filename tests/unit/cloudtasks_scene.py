"""The carrier without Cloud Tasks: a stand-in for the client that keeps tasks in a dict, and a clock moved by hand."""

from __future__ import annotations

import time
from collections import deque
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, cast

from msgspec.structs import replace

from headway.brokers.base import BrokerSettings, PushRequest
from headway.brokers.cloudtasks.api.resources import RemoteQueue, RemoteTask
from headway.brokers.cloudtasks.broker import CloudTasksBroker
from headway.brokers.cloudtasks.message import CONTENT_TYPE
from headway.codec import Codec
from headway.config import Settings
from headway.guards.document import entry_key
from headway.job import Delivery, JobId, NewJob, WorkerId, new_job_id
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from headway.brokers.base import FireCall, PushResponse
    from headway.brokers.cloudtasks.api.client import Api
    from headway.brokers.cloudtasks.api.resources import TaskSpec
    from headway.brokers.cloudtasks.location import Location
    from headway.guards.base import GuardStore
    from headway.job import JobRecord, Outcome

APP = "shop"
HOUR_MS = 3_600_000
LEASE_MS = 60_000


class ApiError(Exception):
    """An error as the client raises it, by the name of its gRPC status."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.grpc_status_code = SimpleNamespace(name=status)


_ABSENT = ApiError("NOT_FOUND")
_THERE = ApiError("ALREADY_EXISTS")


class FakeApi:
    """Tasks by queue and name; a name that was used is not to be had again. `errors` are raised by the calls to come."""

    def __init__(self) -> None:
        self.tasks: dict[tuple[str, str], TaskSpec] = {}
        self.used: set[tuple[str, str]] = set()
        self.errors: dict[str, deque[Exception]] = {}
        self.calls: list[str] = []

    def fail(self, call: str, *errors: Exception) -> None:
        self.errors.setdefault(call, deque()).extend(errors)

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if self.errors.get(call):
            raise self.errors[call].popleft()

    async def create_task(self, queue_id: str, spec: TaskSpec) -> None:
        self._called("create_task")
        if (queue_id, spec.id) in self.used:
            raise _THERE
        self.used.add((queue_id, spec.id))
        self.tasks[queue_id, spec.id] = spec

    async def delete_task(self, queue_id: str, task_id: str) -> None:
        self._called("delete_task")
        if self.tasks.pop((queue_id, task_id), None) is None:
            raise _ABSENT

    async def get_task(self, queue_id: str, task_id: str) -> RemoteTask:
        self._called("get_task")
        if (queue_id, task_id) not in self.tasks:
            raise _ABSENT
        spec = self.tasks[queue_id, task_id]
        return RemoteTask(queue_id, task_id, spec.due_ms or 0, 0, spec.headers, spec.body)

    async def list_queues(self) -> list[RemoteQueue]:
        self._called("list_queues")
        return [RemoteQueue(name, paused=False) for name in sorted({queue_id for queue_id, _ in self.used})]

    async def list_tasks(
        self, queue_id: str, *, full: bool, size: int, token: str
    ) -> tuple[list[RemoteTask], str]:
        self._called("list_tasks")
        return [await self.get_task(*place) for place in list(self.tasks) if place[0] == queue_id], ""

    async def close(self) -> None: ...


class Trusting:
    """Whoever sends is believed."""

    async def admit(self, headers: Mapping[str, str]) -> None: ...

    def sums(self, headers: Mapping[str, str]) -> None: ...

    async def verify(self, request: PushRequest) -> None: ...


class CloudScene:
    """An open carrier with its guard in a file."""

    def __init__(self, folder: Path, *, patience_s: float = 0.2, **push: Any) -> None:
        self.api = FakeApi()
        self.clock = FakeClock(time.time_ns() // 1_000_000)  # that of the ids
        self.push = replace(
            Settings(guard=f"sqlite:///{folder}/guard.db", target="https://x.example/", push_secret="s"),
            **push,
        )
        self.patience_s = patience_s
        self.deliveries = count(1)
        self.carrier = self.another()

    def another(self, **changes: Any) -> CloudTasksBroker:
        """Return one more carrier of the app: another process."""

        async def connect(location: Location) -> Api:
            return cast("Api", self.api)

        carrier = CloudTasksBroker(
            "cloudtasks://project/here?emulator=127.0.0.1:1",
            BrokerSettings(APP, options=replace(self.push, **changes)),
            clock=self.clock,
            connect=connect,
            verifier=Trusting(),
        )
        carrier._api._patience_s = self.patience_s
        return carrier

    async def __aenter__(self) -> Self:
        await self.carrier.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.carrier.close()

    async def enqueue(self, **changes: Any) -> NewJob:
        job = new_job(**changes)
        await self.carrier.enqueue([job])
        return job

    @property
    def waiting(self) -> list[tuple[str, str]]:
        """The tasks that are there, oldest first."""
        return list(self.api.tasks)

    async def send(
        self,
        place: tuple[str, str],
        headers: dict[str, str] | None = None,
        *,
        carrier: CloudTasksBroker | None = None,
    ) -> Delivery | PushResponse | FireCall:
        """Have a task delivered."""
        request = PushRequest({"content-type": CONTENT_TYPE, **(headers or {})}, self.api.tasks[place].body)
        worker = WorkerId(f"w{next(self.deliveries)}")
        return await (carrier or self.carrier).receive(request, worker=worker, lease_ms=LEASE_MS)

    async def deliver(self, place: tuple[str, str], headers: dict[str, str] | None = None) -> Delivery:
        """Have a task delivered whose job is to be run."""
        received = await self.send(place, headers)
        assert isinstance(received, Delivery), received
        return received

    async def answer(self, place: tuple[str, str], delivery: Delivery, outcome: Outcome) -> PushResponse:
        """Settle; a 2xx ends the task."""
        response = await self.carrier.answer(delivery, outcome)
        if 200 <= response.status < 300:
            self.api.tasks.pop(place, None)
        return response

    async def run(self, place: tuple[str, str], outcome: Outcome) -> PushResponse:
        return await self.answer(place, await self.deliver(place), outcome)

    async def record(self, job_id: JobId) -> JobRecord | None:
        [record] = await self.carrier.get([job_id])
        return record

    @property
    def store(self) -> GuardStore:
        """The guard's store."""
        store = self.carrier._keeping._store
        assert store is not None
        return store

    async def lose(self, job_id: JobId) -> None:
        """Have the store lose the job's entry, as one that was killed may."""
        [entry] = await self.store.read([entry_key(job_id)], now_ms=self.clock.now_ms())
        assert entry is not None
        assert await self.store.delete(entry.key, entry.version)

    async def damage(self, job_id: JobId) -> None:
        """Have the bytes of the job's entry damaged."""
        [entry] = await self.store.read([entry_key(job_id)], now_ms=self.clock.now_ms())
        assert entry is not None
        broken = replace(entry, version=entry.version + 1, data=b"\xc1")
        assert await self.store.swap(broken, now_ms=self.clock.now_ms())


def new_job(**changes: Any) -> NewJob:
    return replace(NewJob(new_job_id(), "t", "q", Codec().encode_call("t", [], {})), **changes)
