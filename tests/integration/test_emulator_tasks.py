"""The emulator from outside: the official client over gRPC, plain HTTP for REST, and an HTTP target."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import httpx
import pytest
from google.api_core import exceptions
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport
from google.cloud.tasks_v2.types import BatchCreateTasksMetadata
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from headway.emulator.faults import Faults
from headway.emulator.http import HttpServer
from headway.emulator.journal import Journal
from headway.emulator.model import Queue
from headway.emulator.server import Emulator
from headway.emulator.target import HttpAnswer, HttpCall
from headway.errors import ConfigError
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.requests import Request

LOCATION = "projects/shop/locations/europe-west1"
QUEUE = f"{LOCATION}/queues/mail"
TARGET = {"http_request": {"url": "http://127.0.0.1:9/run"}}
FULL = tasks_v2.Task.View.FULL


@asynccontextmanager
async def client_of(emulator: Emulator) -> AsyncIterator[Any]:
    # Any: the client takes dictionaries for messages, which its annotations do not say.
    async with grpc.aio.insecure_channel(emulator.grpc_address) as channel:
        yield tasks_v2.CloudTasksAsyncClient(transport=CloudTasksGrpcAsyncIOTransport(channel=channel))


class Target:
    """What the emulator sends to, without HTTP."""

    def __init__(self) -> None:
        self.calls: list[HttpCall] = []
        self.status = 200

    async def deliver(self, call: HttpCall) -> HttpAnswer | None:
        self.calls.append(call)
        return HttpAnswer(self.status)


class Scene:
    def __init__(self, emulator: Emulator, client: Any, clock: FakeClock, target: Target) -> None:
        self.emulator = emulator
        self.client = client
        self.clock = clock
        self.target = target

    async def queue(self, **fields: Any) -> Any:
        return await self.client.create_queue(parent=LOCATION, queue={"name": QUEUE, **fields})

    async def task(self, name: str | None = None, **fields: Any) -> Any:
        named = {} if name is None else {"name": f"{QUEUE}/tasks/{name}"}
        return await self.client.create_task(parent=QUEUE, task={**TARGET, **named, **fields})

    async def after(self, **time: float) -> int:
        self.clock.advance(timedelta(**time))
        return await self.emulator.dispatcher.turn()


@asynccontextmanager
async def opened(path: Path | None = None, **settings: Any) -> AsyncIterator[Scene]:
    clock, target = settings.pop("clock", None) or FakeClock(), Target()
    emulator = Emulator(
        journal=Journal(path), clock=clock, deliver=target.deliver, automatic=False, **settings
    )
    async with emulator, client_of(emulator) as client:
        yield Scene(emulator, client, clock, target)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with opened() as found:
        yield found


async def test_a_queues_life(scene: Scene) -> None:
    made = await scene.queue(retry_config={"max_attempts": 5})
    assert (made.rate_limits.max_dispatches_per_second, made.rate_limits.max_concurrent_dispatches) == (
        500,
        1000,
    )
    assert made.retry_config.max_attempts == 5
    assert made.retry_config.min_backoff == timedelta(seconds=0.1)
    with pytest.raises(exceptions.AlreadyExists, match="Queue already exists"):
        await scene.queue()
    changed = await scene.client.update_queue(
        queue={"name": QUEUE, "rate_limits": {"max_dispatches_per_second": 3}},
        update_mask={"paths": ["rate_limits.max_dispatches_per_second"]},
    )
    assert changed.rate_limits.max_dispatches_per_second == 3
    assert changed.retry_config.max_attempts == 5
    assert (await scene.client.pause_queue(name=QUEUE)).state == tasks_v2.Queue.State.PAUSED
    assert (await scene.client.get_queue(name=QUEUE)).state == tasks_v2.Queue.State.PAUSED
    assert (await scene.client.resume_queue(name=QUEUE)).state == tasks_v2.Queue.State.RUNNING
    await scene.client.delete_queue(name=QUEUE)
    with pytest.raises(exceptions.NotFound, match="Requested entity was not found"):
        await scene.client.delete_queue(name=QUEUE)
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        await scene.client.get_queue(name=QUEUE)
    with pytest.raises(exceptions.FailedPrecondition, match="existed too recently"):
        await scene.queue()
    scene.clock.advance(timedelta(days=3))
    await scene.queue()


async def test_an_update_makes_a_queue_that_is_not_there(scene: Scene) -> None:
    await scene.client.update_queue(queue={"name": QUEUE})
    assert (await scene.client.get_queue(name=QUEUE)).name == QUEUE


async def test_queues_are_listed_in_pages_and_by_location(scene: Scene) -> None:
    for number in range(5):
        await scene.client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/q{number}"})
    await scene.client.create_queue(
        parent="projects/shop/locations/us", queue={"name": "projects/shop/locations/us/queues/x"}
    )
    await scene.client.pause_queue(name=f"{LOCATION}/queues/q3")
    pages = await scene.client.list_queues(request={"parent": LOCATION, "page_size": 2})
    assert [[queue.name[-2:] for queue in page.queues] async for page in pages.pages] == [
        ["q0", "q1"],
        ["q2", "q3"],
        ["q4"],
    ]
    paused = await scene.client.list_queues(request={"parent": LOCATION, "filter": "state: PAUSED"})
    assert [queue.name[-2:] async for queue in paused] == ["q3"]


async def test_a_tasks_life(scene: Scene) -> None:
    await scene.queue()
    due = datetime(2027, 1, 15, 9, 0, 0, 123456, tzinfo=UTC)
    made = await scene.task(
        "one",
        http_request={
            "url": "http://x/run",
            "body": b"hi",
            "headers": {"X-Own": "1", "Host": "evil", "X-Google-A": "b"},
        },
        schedule_time=due,
        dispatch_deadline=timedelta(seconds=15),
    )
    assert made.http_request.body == b""
    assert made.schedule_time == due
    assert made.dispatch_deadline == timedelta(seconds=15)
    assert dict(made.http_request.headers) == {"X-Own": "1", "User-Agent": "Google-Cloud-Tasks"}
    full = await scene.client.get_task(request={"name": made.name, "response_view": FULL})
    assert full.http_request.body == b"hi"
    with pytest.raises(exceptions.AlreadyExists, match="Requested entity already exists"):
        await scene.task("one")
    await scene.client.delete_task(name=made.name)
    with pytest.raises(exceptions.NotFound, match="existed recently"):
        await scene.client.get_task(name=made.name)
    with pytest.raises(exceptions.NotFound, match=r"Requested entity was not found\."):
        await scene.client.delete_task(name=f"{QUEUE}/tasks/never")
    with pytest.raises(exceptions.AlreadyExists, match="existed too recently"):
        await scene.task("one")
    scene.clock.advance(timedelta(hours=1))
    await scene.task("one")


async def test_a_done_task_leaves_its_name_behind(scene: Scene) -> None:
    await scene.queue()
    await scene.task("one")
    unnamed = await scene.task()
    assert await scene.after() == 2
    with pytest.raises(exceptions.AlreadyExists, match="existed too recently"):
        await scene.task("one")
    with pytest.raises(exceptions.NotFound):
        await scene.client.get_task(name=unnamed.name)


async def test_attempts_are_shown(scene: Scene) -> None:
    await scene.queue(retry_config={"min_backoff": timedelta(seconds=5)})
    made = await scene.task("one")
    scene.target.status = 500
    begin = scene.clock.now_ms()
    assert await scene.after() == 1
    shown = await scene.client.get_task(name=made.name)
    assert (shown.dispatch_count, shown.response_count) == (1, 1)
    assert shown.last_attempt.response_status.code == 13
    assert shown.last_attempt.response_status.message == "INTERNAL(13): HTTP status code 500"
    assert shown.first_attempt.dispatch_time.timestamp() * 1000 == begin
    assert shown.schedule_time.timestamp() * 1000 == begin + 5000


async def test_run_goes_before_its_time_and_whatever_the_state(scene: Scene) -> None:
    await scene.queue()
    await scene.client.pause_queue(name=QUEUE)
    made = await scene.task("one", schedule_time=datetime(2027, 1, 20, tzinfo=UTC))
    shown = await scene.client.run_task(name=made.name)
    assert (shown.dispatch_count, shown.response_count) == (1, 0)
    await scene.emulator.dispatcher.settled()
    assert [call.task for call in scene.target.calls] == [made.name]
    with pytest.raises(exceptions.NotFound):
        await scene.client.run_task(name=made.name)


async def test_a_task_has_its_own_retry_configuration(scene: Scene) -> None:
    await scene.queue(retry_config={"max_attempts": 1})
    made = await scene.task("one", retry_config={"max_attempts": -1, "min_backoff": timedelta(seconds=1)})
    scene.target.status = 409
    assert [await scene.after(), await scene.after(seconds=1), await scene.after(seconds=2)] == [1, 1, 1]
    assert (await scene.client.get_task(name=made.name)).retry_config.max_attempts == -1


async def test_purge_deletes_all_tasks(scene: Scene) -> None:
    await scene.queue()
    for number in range(3):
        await scene.task(f"t{number}")
    purged = await scene.client.purge_queue(name=QUEUE)
    assert purged.purge_time.timestamp() * 1000 == scene.clock.now_ms()
    assert await scene.after() == 0
    assert [task async for task in await scene.client.list_tasks(parent=QUEUE)] == []


async def test_tasks_are_listed_in_pages_that_survive_changes(scene: Scene) -> None:
    await scene.queue()
    for number in range(5):
        await scene.task(f"t{number}", http_request={"url": "http://x", "body": b"b"})
    request = {"parent": QUEUE, "page_size": 2, "response_view": FULL}
    first = await scene.client.list_tasks(request=request)
    token = first.next_page_token
    assert [task.http_request.body for task in first.tasks] == [b"b", b"b"]
    await scene.client.delete_task(name=f"{QUEUE}/tasks/t1")
    rest = [
        task.name[-2:]
        async for task in await scene.client.list_tasks(request={**request, "page_token": token})
    ]
    assert rest == ["t2", "t3", "t4"]
    with pytest.raises(exceptions.InvalidArgument, match="page_token"):
        await scene.client.list_tasks(request={**request, "page_token": "?"})


async def test_batches_do_what_they_can(scene: Scene) -> None:
    await scene.queue()
    await scene.task("t1")
    requests = [
        {"parent": QUEUE, "task": {**TARGET, "name": f"{QUEUE}/tasks/t{number}"}} for number in range(3)
    ]
    raw = scene.client.transport.operations_client
    created = await scene.client.batch_create_tasks(
        request={"parent": QUEUE, "requests": requests, "request_id": "r1"}
    )
    assert [task.name[-2:] for task in (await created.result()).tasks] == ["t0", "t2"]
    metadata = BatchCreateTasksMetadata.deserialize(created.operation.metadata.value)
    assert metadata.state == BatchCreateTasksMetadata.State.PARTIALLY_SUCCEEDED
    assert {index: status.code for index, status in metadata.failed_requests.items()} == {1: 6}
    again = await scene.client.batch_create_tasks(
        request={"parent": QUEUE, "requests": requests, "request_id": "r1"}
    )
    assert again.operation.name == created.operation.name
    assert (await raw.get_operation(created.operation.name)).done
    deleted = await scene.client.batch_delete_tasks(
        request={"parent": QUEUE, "names": [f"{QUEUE}/tasks/t{number}" for number in range(4)]}
    )
    await deleted.result()
    assert await scene.after() == 0
    failed = await scene.client.batch_delete_tasks(request={"parent": QUEUE, "names": [f"{QUEUE}/tasks/t0"]})
    with pytest.raises(exceptions.GoogleAPICallError, match="BatchDeleteTasksMetadata"):
        await failed.result()


async def test_policies_are_kept_under_their_etag(scene: Scene) -> None:
    await scene.queue()
    policy = await scene.client.get_iam_policy(request={"resource": QUEUE})
    policy.bindings.add(role="roles/cloudtasks.enqueuer", members=["user:a@b"])
    kept = await scene.client.set_iam_policy(request={"resource": QUEUE, "policy": policy})
    assert kept.bindings[0].members == ["user:a@b"]
    assert kept.etag != policy.etag
    with pytest.raises(exceptions.Aborted, match="concurrent policy changes"):
        await scene.client.set_iam_policy(request={"resource": QUEUE, "policy": policy})
    nowhere = await scene.client.test_iam_permissions(
        request={"resource": f"{LOCATION}/queues/none", "permissions": ["cloudtasks.tasks.create"]}
    )
    assert not nowhere.permissions
    granted = await scene.client.test_iam_permissions(
        request={"resource": QUEUE, "permissions": ["cloudtasks.tasks.create"]}
    )
    assert list(granted.permissions) == ["cloudtasks.tasks.create"]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({}, "http_request is required"),
        ({"app_engine_http_request": {"relative_uri": "/"}}, "App Engine"),
        ({"http_request": {"url": "ftp://x"}}, "url"),
        ({"http_request": {"url": "http://"}}, "url"),
        ({"http_request": {"url": "http://x/" + "a" * 2100}}, "2083"),
        ({"http_request": {"url": "http://x", "http_method": "GET", "body": b"x"}}, "body is not allowed"),
        ({"http_request": {"url": "http://x", "body": b"x" * (1024 * 1024)}}, "Task size too large"),
        ({"http_request": {"url": "http://x", "headers": {"a": "b" * 82_000}}}, "headers"),
        ({"http_request": {"url": "http://x:port/"}}, "url"),
        ({"http_request": {"url": "http://x", "headers": {"a b": "c"}}}, "not a header"),
        ({"http_request": {"url": "http://x", "headers": {"a": "b\r\nc: d"}}}, "not a header"),
        ({"http_request": {"url": "http://x", "oidc_token": {"audience": "a"}}}, "service_account_email"),
        ({**TARGET, "dispatch_deadline": timedelta(seconds=14)}, r"\[15s, 1800s\]"),
        ({**TARGET, "dispatch_deadline": timedelta(seconds=1801)}, r"\[15s, 1800s\]"),
        ({**TARGET, "schedule_time": datetime(2027, 2, 15, tzinfo=UTC)}, "720h"),
        ({**TARGET, "name": "one"}, "Task name must be formatted"),
        ({**TARGET, "name": f"{QUEUE}/tasks/{'a' * 501}"}, "Task name must be formatted"),
        ({**TARGET, "name": f"{QUEUE}/tasks/a.b"}, "Task name must be formatted"),
        ({**TARGET, "name": f"{LOCATION}/queues/other/tasks/a"}, "must begin with the parent"),
        ({**TARGET, "retry_config": {"max_attempts": -2}}, "max_attempts"),
        ({**TARGET, "retry_config": {"min_backoff": timedelta(seconds=9), "max_backoff": timedelta(seconds=8)}}, "min_backoff"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_what_a_task_may_not_be(scene: Scene, task: dict[str, Any], message: str) -> None:
    await scene.queue()
    with pytest.raises(exceptions.InvalidArgument, match=message):
        await scene.client.create_task(parent=QUEUE, task=task)
    assert not scene.emulator.store.tasks(QUEUE)


@pytest.mark.parametrize(
    ("queue", "message"),
    [
        ({"rate_limits": {"max_dispatches_per_second": 501}}, "max_dispatches_per_second"),
        ({"rate_limits": {"max_dispatches_per_second": -1}}, "max_dispatches_per_second"),
        ({"rate_limits": {"max_concurrent_dispatches": 5001}}, "max_concurrent_dispatches"),
        ({"name": f"{LOCATION}/queues/a_b"}, "Queue name must be formatted"),
        ({"name": "projects/shop/locations/us/queues/q"}, "must begin with the parent"),
        ({"http_target": {"uri_override": {"port": 70_000}}}, "port"),
        ({"http_target": {"uri_override": {"host": ""}}}, "host"),
        ({"app_engine_routing_override": {"service": "s"}}, "App Engine"),
        ({"stackdriver_logging_config": {"sampling_ratio": 2}}, "sampling_ratio"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_a_queue_may_not_be(scene: Scene, queue: dict[str, Any], message: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=message):
        await scene.queue(**queue)


async def test_a_task_needs_its_queue_and_unknown_methods_are_unimplemented(scene: Scene) -> None:
    with pytest.raises(exceptions.NotFound, match="Queue does not exist"):
        await scene.task()
    with pytest.raises(exceptions.MethodNotImplemented):
        await scene.client.get_cmek_config(name=f"{LOCATION}/cmekConfig")


async def test_rest_speaks_of_the_same_queues_and_tasks(scene: Scene) -> None:
    async with httpx.AsyncClient(base_url=f"{scene.emulator.http_address}/v2/", trust_env=False) as rest:
        made = await rest.post(
            f"{LOCATION}/queues", json={"name": QUEUE, "rateLimits": {"maxDispatchesPerSecond": 5}}
        )
        assert made.json()["rateLimits"] == {
            "maxDispatchesPerSecond": 5,
            "maxBurstSize": 10,
            "maxConcurrentDispatches": 1000,
        }
        for mask in ("rateLimits.maxDispatchesPerSecond", "rate_limits.max_dispatches_per_second"):
            changed = await rest.patch(
                QUEUE,
                params={"updateMask": mask, "alt": "json"},
                json={"rateLimits": {"maxDispatchesPerSecond": 7}},
            )
            assert changed.json()["rateLimits"]["maxDispatchesPerSecond"] == 7
        assert (await rest.post(f"{QUEUE}:pause")).json()["state"] == "PAUSED"
        assert (await rest.post(f"{QUEUE}:resume", json={})).json()["state"] == "RUNNING"
        body = {
            "task": {
                "name": f"{QUEUE}/tasks/one",
                "httpRequest": {"url": "http://x", "body": base64.b64encode(b"hi").decode()},
                "dispatchDeadline": "20s",
            }
        }
        created = await rest.post(f"{QUEUE}/tasks", json={**body, "responseView": "FULL"})
        assert created.json()["httpRequest"]["body"] == "aGk="
        assert created.json()["dispatchDeadline"] == "20s"
        assert (await scene.client.get_task(name=f"{QUEUE}/tasks/one")).dispatch_deadline == timedelta(
            seconds=20
        )
        basic = (await rest.get(f"{QUEUE}/tasks/one")).json()
        assert "body" not in basic["httpRequest"]
        numbers = await rest.get(
            f"{QUEUE}/tasks/one", params={"responseView": "2", "$alt": "json;enum-encoding=int"}
        )
        assert numbers.json()["view"] == 2
        again = await rest.post(f"{QUEUE}/tasks", json=body)
        assert again.status_code == 409
        assert again.json()["error"] == {
            "code": 409,
            "message": "Requested entity already exists",
            "status": "ALREADY_EXISTS",
        }
        assert (await rest.post(f"{QUEUE}/tasks/one:run")).json()["dispatchCount"] == 1
        await scene.emulator.dispatcher.settled()
        batch = await rest.post(
            f"{QUEUE}/tasks:batchCreate", json={"requests": [{"task": {"httpRequest": {"url": "http://x"}}}]}
        )
        assert batch.json()["done"] is True
        assert len(batch.json()["response"]["tasks"]) == 1
        page = (await rest.get(f"{QUEUE}/tasks", params={"pageSize": 1})).json()
        assert len(page["tasks"]) == 1
        assert (await rest.request("DELETE", page["tasks"][0]["name"])).json() == {}
        assert (await rest.get(f"{QUEUE}/tasks")).json() == {}
        assert (await rest.post(f"{QUEUE}:getIamPolicy", json={})).status_code == 200
        assert (await rest.get("projects/shop/locations")).json()["locations"][0][
            "locationId"
        ] == "europe-west1"


async def test_a_buffered_task_is_sent_where_its_queue_says(scene: Scene) -> None:
    async with httpx.AsyncClient(base_url=f"{scene.emulator.http_address}/v2/", trust_env=False) as rest:
        await scene.queue()
        refused = await rest.post(f"{QUEUE}/tasks:buffer")
        assert refused.json()["error"]["status"] == "FAILED_PRECONDITION"
        uri: dict[str, Any] = {"host": "target.example", "path_override": {"path": "/run"}}
        headers = [{"header": {"key": "X-Own", "value": "1"}}]
        target = {"uri_override": uri, "header_overrides": headers}
        await scene.client.update_queue(queue={"name": QUEUE, "http_target": target})
        text: dict[str, Any] = {"content": b"hi", "headers": {"content-type": "text/plain"}}
        made = await rest.post(f"{QUEUE}/tasks/one:buffer", **text)
        assert made.json()["task"]["name"] == f"{QUEUE}/tasks/one"
        again = await rest.post(f"{QUEUE}/tasks/one:buffer", **text)
        assert again.json()["error"]["status"] == "ALREADY_EXISTS"
        for without_id in ("tasks:buffer", "tasks/:buffer"):  # the latter is gcloud's
            unnamed = (await rest.post(f"{QUEUE}/{without_id}")).json()["task"]["name"]
            assert unnamed.startswith(f"{QUEUE}/tasks/")
        assert (await rest.get(f"{QUEUE}/tasks/got:buffer")).json()["task"]["name"] == f"{QUEUE}/tasks/got"
        assert (await rest.post(f"{QUEUE}/tasks:buffer", json={"body": {"data": "aGk="}})).status_code == 200
        # What the queue says when a task is sent holds.
        uri |= {"host": "other.example", "uri_override_enforce_mode": "IF_NOT_EXISTS"}
        await scene.client.update_queue(queue={"name": QUEUE, "http_target": target})
        assert await scene.after(seconds=0) == 5
        first = scene.target.calls[0]
        assert {call.url for call in scene.target.calls} == {"https://other.example/run"}
        assert (first.method, first.body) == ("POST", b"hi")
        assert (first.headers["Content-Type"], first.headers["X-Own"]) == ("text/plain", "1")
        assert sorted(call.body for call in scene.target.calls)[-2:] == [b"hi", b'{"body":{"data":"aGk="}}']
        # A task that was created by itself has a URL of its own, and needs one.
        own = {"task": {"httpRequest": {"body": "aGk="}}}
        assert (await rest.post(f"{QUEUE}/tasks", json=own)).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "name"),
    [
        ("GET", f"{QUEUE}", b"", 404, "NOT_FOUND"),
        ("GET", "projects/shop/nothing", b"", 404, "NOT_FOUND"),
        ("GET", f"{QUEUE}:pause", b"", 400, "INVALID_ARGUMENT"),
        ("POST", f"{LOCATION}/queues", b"{", 400, "INVALID_ARGUMENT"),
        ("POST", f"{LOCATION}/queues", b"[1]", 400, "INVALID_ARGUMENT"),
        ("POST", f"{LOCATION}/queues", b'{"nmae": "x"}', 400, "INVALID_ARGUMENT"),
        ("POST", f"{LOCATION}/queues", b'{"rateLimits": 7}', 400, "INVALID_ARGUMENT"),
        ("POST", f"{LOCATION}/queues", b"\xff\xfe", 400, "INVALID_ARGUMENT"),
        ("GET", f"{LOCATION}/queues?pageSize=-1", b"", 400, "INVALID_ARGUMENT"),
        ("GET", f"{LOCATION}/queues?pageSize=x", b"", 400, "INVALID_ARGUMENT"),
    ],
)  # fmt: skip
async def test_rest_says_no_as_the_api_does(
    scene: Scene, method: str, path: str, content: bytes, status: int, name: str
) -> None:
    async with httpx.AsyncClient(base_url=f"{scene.emulator.http_address}/v2/", trust_env=False) as rest:
        refused = await rest.request(method, path, content=content)
    assert refused.status_code == status
    assert refused.json()["error"]["status"] == name
    assert refused.json()["error"]["code"] == status


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    path, clock = tmp_path / "state.db", FakeClock()
    gate = asyncio.Event()
    async with opened(path, clock=clock) as scene:
        await scene.queue(rate_limits={"max_dispatches_per_second": 3})
        await scene.task("done")
        assert await scene.after() == 1
        scene.target.status = 500
        await scene.task("failed")
        assert await scene.after() == 1
        await scene.task("later", schedule_time=datetime(2027, 1, 16, tzinfo=UTC))
        await scene.client.delete_task(name=(await scene.task("deleted")).name)

        async def hang(call: HttpCall) -> HttpAnswer | None:
            gate.set()
            await asyncio.Event().wait()
            raise AssertionError(call)

        scene.emulator.dispatcher._deliver = hang
        await scene.task("flying")
        scene.emulator.dispatcher.dispatch_due()
        await asyncio.wait_for(gate.wait(), 10)
    async with opened(path, clock=clock) as scene:
        assert (await scene.client.get_queue(name=QUEUE)).rate_limits.max_dispatches_per_second == 3
        kept = {
            task.name.rpartition("/")[2]: task async for task in await scene.client.list_tasks(parent=QUEUE)
        }
        assert sorted(kept) == ["failed", "flying", "later"]
        assert kept["failed"].last_attempt.response_status.code == 13
        for name in ("done", "deleted"):
            with pytest.raises(exceptions.AlreadyExists, match="existed too recently"):
                await scene.task(name)
        # The one that was under way when the first emulator ended is sent again, as its second attempt.
        assert await scene.after(seconds=1) == 2
        assert {
            call.task.rpartition("/")[2]: call.headers["X-CloudTasks-TaskRetryCount"]
            for call in scene.target.calls
        } == {"failed": "1", "flying": "1"}
        await scene.client.delete_queue(name=QUEUE)
    async with opened(path, clock=clock) as scene:
        with pytest.raises(exceptions.FailedPrecondition):
            await scene.queue()


async def test_calls_are_refused_and_answers_lost_at_their_rates() -> None:
    async with opened(faults=Faults(unavailable=0.2, lost=0.2, seed=11)) as scene:
        scene.emulator.store.put_queue(Queue(QUEUE))
        scene.emulator.dispatcher.load()
        outcomes = {"accepted": 0, "unavailable": 0}
        for number in range(300):
            try:
                await scene.client.create_task(
                    parent=QUEUE, task={**TARGET, "name": f"{QUEUE}/tasks/t{number}"}, retry=None
                )
                outcomes["accepted"] += 1
            except exceptions.ServiceUnavailable:
                outcomes["unavailable"] += 1
        assert outcomes["unavailable"] == pytest.approx(300 * (1 - 0.8 * 0.8), rel=0.25)
        applied = len(scene.emulator.store.tasks(QUEUE))
        assert applied == outcomes["accepted"] + scene.emulator.dice.drawn["lost-call"]
        # Whoever repeats a call under the same name learns what became of it: nothing accepted is lost.
        for number in range(300):
            while True:
                try:
                    await scene.task(f"t{number}")
                except exceptions.ServiceUnavailable:
                    continue
                except exceptions.AlreadyExists:
                    pass
                break
        for _ in range(2000):
            if not scene.emulator.store.tasks(QUEUE):
                break
            await scene.after(seconds=5)
        assert {call.task for call in scene.target.calls} == {
            f"{QUEUE}/tasks/t{number}" for number in range(300)
        }
        assert not scene.emulator.store.tasks(QUEUE)


async def test_tasks_travel_over_http_and_the_background_run_drives_them() -> None:
    seen: list[tuple[str, str, bytes, str]] = []
    done = asyncio.Event()

    async def run(request: Request) -> Response:
        seen.append((request.method, request.url.path, await request.body(), request.headers["user-agent"]))
        if len(seen) == 1:
            return Response(status_code=500)
        done.set()
        return Response(status_code=204)

    server = HttpServer(Starlette(routes=[Route("/run", run, methods=["POST"])]), "127.0.0.1", 0)
    port = await server.start()
    try:
        async with Emulator() as emulator, client_of(emulator) as client:
            await client.create_queue(parent=LOCATION, queue={"name": QUEUE})
            await client.create_task(
                parent=QUEUE, task={"http_request": {"url": f"http://127.0.0.1:{port}/run", "body": b"hi"}}
            )
            await asyncio.wait_for(done.wait(), 20)
            assert seen == [("POST", "/run", b"hi", "Google-Cloud-Tasks")] * 2
            await emulator.dispatcher.settled()
            assert [task async for task in await client.list_tasks(parent=QUEUE)] == []
    finally:
        await server.stop()


async def test_a_target_that_does_not_listen_is_a_failed_attempt() -> None:
    async with Emulator(automatic=False) as emulator, client_of(emulator) as client:
        await client.create_queue(parent=LOCATION, queue={"name": QUEUE})
        made = await client.create_task(parent=QUEUE, task=TARGET)
        assert await emulator.dispatcher.turn() == 1
        shown = await client.get_task(name=made.name)
        assert (shown.dispatch_count, shown.response_count) == (1, 0)
        assert shown.last_attempt.response_status.code == 14


async def test_a_port_that_is_taken_is_named() -> None:
    async with Emulator() as first:
        for second in (Emulator(grpc_port=first._grpc_port), Emulator(http_port=first._http_port)):
            with pytest.raises(ConfigError, match="cannot listen on"):
                await second.open()
