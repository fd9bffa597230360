"""Whatever a request, a target or the state file holds, the emulator names it and goes on with everything else."""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import httpx
import msgspec
import pytest
from google.protobuf import json_format  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.emulator.calls import answer
from headway.emulator.errors import ApiError, Code
from headway.emulator.faults import Dice, Faults
from headway.emulator.journal import Journal
from headway.emulator.retry import retry_after_ms
from headway.emulator.scheduler.operations import operations as scheduler_operations
from headway.emulator.scheduler.part import CloudScheduler
from headway.emulator.server import Emulator
from headway.emulator.standalone import running
from headway.emulator.target import HttpAnswer, HttpCall
from headway.emulator.wire import request_class
from headway.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from headway.emulator.operations import Operation

UNTIMED = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
LOCATION: Final = "projects/p/locations/l"
QUEUE: Final = f"{LOCATION}/queues/q"
HONEST: Final = f"{LOCATION}/queues/honest"
TASK: Final = f"{QUEUE}/tasks/t"
JOB: Final = f"{LOCATION}/jobs/j"
HONEST_JOB: Final = f"{LOCATION}/jobs/honest"
HOUR_MS: Final = 3_600_000
SPENT: Final = "Mon, 01 Jan 2024 00:00:00 +9999999999999999"

# What a field of a name may hold: things that are there, that are not, and that are none.
TEXTS: Final[dict[str, list[str]]] = {
    "name": [QUEUE, TASK, JOB, LOCATION, f"{QUEUE}/tasks/new", f"{LOCATION}/jobs/new", f"{LOCATION}/queues/new", "x", ""],
    "parent": [LOCATION, QUEUE, "x"],
    "resource": [QUEUE, "x"],
    "url": ["http://127.0.0.1:1/", "https://ä.example/?a=ß", "http://[", "http://x:99999", "//x", "http://" + "a" * 100_000],
    "uri": ["http://127.0.0.1:1/", "http://[", "ftp://x"],
    "schedule": ["* * * * *", "0 0 30 2 *", "0 0 29 2 1", "99 * * * *", "every 5 minutes", "*/0 * * * *"],
    "time_zone": ["Europe/Zurich", "Mars/Base", "../../etc/passwd", "\x00"],
    "filter": ["state: PAUSED", "state=RUNNING", "x"],
    "page_token": ["", "eA", "ä", "="],
    "paths": ["http_target", "retry_config.max_doublings", "rate_limits", "*", "schedule", "http_target.headers", "x.y", ""],
    "topic_name": ["projects/p/topics/news", "x"],
    "key": ["X-Own", "Host", "Transfer-Encoding", "a b", "\r\nX: y", "ä"],
    "host": ["x", "::1", "", "a/b", "a\nb"],
}  # fmt: skip
WHOLE: Final = st.sampled_from([0, 1, -1, 2, 99, 2**31 - 1, -(2**31)])
LARGE: Final = st.sampled_from(
    [0, 1, -1, 60, 2**63 - 1, -(2**63), 315_576_000_000, -62_135_596_801, 253_402_300_800]
)
NUMBER: Final = st.sampled_from(
    [0.0, 1.0, -1.0, 500.0, 1e308, float("nan"), float("inf"), -float("inf"), 5e-324]
)
MOST_DEPTH: Final = 6


def scalar(draw: st.DrawFn, field: Any) -> Any:
    if field.type == field.TYPE_BYTES:
        return draw(st.sampled_from([b"", b"\x00\xff", b"x" * 1000]))
    if field.cpp_type == field.CPPTYPE_STRING:
        return draw(st.sampled_from(TEXTS.get(field.name, ["", "a@b", "x" * 600, "\x00", "ß"])))
    by_type = {
        field.CPPTYPE_ENUM: WHOLE, field.CPPTYPE_INT32: WHOLE, field.CPPTYPE_INT64: LARGE, field.CPPTYPE_DOUBLE: NUMBER,
        field.CPPTYPE_FLOAT: NUMBER, field.CPPTYPE_BOOL: st.booleans(),
    }  # fmt: skip
    return draw(by_type.get(field.cpp_type, st.sampled_from([0, 1, 2**31 - 1])))


def fill(draw: st.DrawFn, message: Any, depth: int = 0) -> Any:
    """Set fields of a message to anything that its descriptor allows."""
    for field in message.DESCRIPTOR.fields:
        if depth > MOST_DEPTH or draw(st.integers(0, 2)) == 0:
            continue
        present = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            present[draw(st.sampled_from(TEXTS["key"]))] = draw(st.sampled_from(["1", "a\r\nb", "ß"]))
        elif field.is_repeated and field.message_type is not None:
            fill(draw, present.add(), depth + 1)
        elif field.is_repeated:
            present.append(scalar(draw, field))
        elif field.message_type is not None:
            present.SetInParent()
            fill(draw, present, depth + 1)
        elif field.cpp_type == field.CPPTYPE_INT32 and field.type != field.TYPE_INT32:
            setattr(message, field.name, draw(st.sampled_from([0, 1, 99])))
        else:
            setattr(message, field.name, scalar(draw, field))
    return message


class World:
    """Both services, with one honest queue and one honest job beside what a test does to the others."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.calls: list[str] = []
        self.reply: HttpAnswer | None = HttpAnswer(200)
        journal = Journal()
        self.scheduler = CloudScheduler(
            journal,
            self.clock,
            Dice(Faults()),
            deliver=self.deliver,
            pubsub_host="127.0.0.1:1",
            automatic=False,
        )
        self.emulator = Emulator(
            journal=journal, clock=self.clock, deliver=self.deliver, automatic=False, parts=[self.scheduler]
        )
        self.operations = {
            (operation.service, operation.name): operation
            for operation in (*self.emulator.operations(), *scheduler_operations(self.scheduler.service))
        }

    async def deliver(self, call: HttpCall) -> HttpAnswer | None:
        self.calls.append(call.task)
        return HttpAnswer(200) if "honest" in call.task else self.reply

    def operation(self, name: str) -> Operation:
        return next(found for (_, called), found in self.operations.items() if called == name)

    async def call(self, name: str, request: Any) -> Any:
        return await answer(self.operation(name), request, self.emulator.dice, self.emulator.journal)

    async def make(self, queue: str, job: str) -> None:
        create = request_class("CreateQueueRequest")
        await self.call("CreateQueue", create(parent=LOCATION, queue={"name": queue}))
        task = {"name": f"{queue}/tasks/t", "http_request": {"url": "http://127.0.0.1:1/"}}
        await self.call("CreateTask", request_class("CreateTaskRequest")(parent=queue, task=task))
        wanted = self.operation("CreateJob").request(parent=LOCATION)
        json_format.ParseDict(
            {"name": job, "schedule": "* * * * *", "httpTarget": {"uri": "http://127.0.0.1:1/"}}, wanted.job
        )
        await self.call("CreateJob", wanted)

    async def go_on(self) -> None:
        """Let some time pass: nothing stops, and what is honest is sent."""
        for _ in range(3):
            self.clock.advance(HOUR_MS)
            for dispatcher in (self.emulator.dispatcher, self.scheduler.dispatcher):
                await dispatcher.turn()
                dispatcher.next_ms()
        assert f"{HONEST}/tasks/t" in self.calls
        assert self.calls.count(HONEST_JOB) == 3
        await self.emulator.dispatcher.close()
        await self.scheduler.dispatcher.close()


NAMES: Final = sorted(World().operations)


@UNTIMED
@given(st.sampled_from(NAMES), st.data())
def test_no_request_is_an_internal_error_or_stops_anything(
    which: tuple[str, str], data: st.DataObject
) -> None:
    async def attempt() -> None:
        world = World()
        await world.make(HONEST, HONEST_JOB)
        await world.make(QUEUE, JOB)
        operation = world.operations[which]
        request = data.draw(st.composite(lambda draw: fill(draw, operation.request()))())
        try:
            response = await answer(operation, request, world.emulator.dice, world.emulator.journal)
        except ApiError as error:
            if error.code in {Code.INTERNAL, Code.UNKNOWN}:
                raise
        else:
            response.SerializeToString()
            json_format.MessageToDict(response)
        for name, parent in (("ListTasks", QUEUE), ("ListQueues", LOCATION), ("ListJobs", LOCATION)):
            listed = world.operation(name).request(parent=parent)
            try:
                json_format.MessageToDict(await world.call(name, listed))
            except ApiError as error:
                if error.code is not Code.NOT_FOUND:
                    raise
        world.reply = HttpAnswer(500, {"retry-after": SPENT})
        await world.go_on()

    asyncio.run(attempt())


def broken(field: str, value: Any) -> Any:
    """A task with one field of a wrong value."""
    request = request_class("CreateTaskRequest")(parent=QUEUE)
    request.task.http_request.url = "http://127.0.0.1:1/"
    *outer, last = field.split(".")
    message = request.task
    for step in outer:
        message = getattr(message, step)
        message.SetInParent()
    setattr(message, last, value)
    return request


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("http_request.http_method", 99),
        ("view", 99),
        ("schedule_time.nanos", -1),
        ("schedule_time.seconds", 2**63 - 1),
        ("dispatch_deadline.nanos", 2**31 - 1),
        ("dispatch_deadline.seconds", -(2**63)),
        ("last_attempt.response_time.seconds", 2**63 - 1),
    ],
)
async def test_a_value_that_is_none_of_its_type_is_named(field: str, value: Any) -> None:
    world = World()
    await world.make(QUEUE, JOB)
    with pytest.raises(
        ApiError, match=field.split(".")[-2 if "." in field and "method" not in field else -1]
    ) as raised:
        await world.call("CreateTask", broken(field, value))
    assert raised.value.code is Code.INVALID_ARGUMENT


async def test_a_job_with_an_unknown_method_is_refused_over_rest() -> None:
    async with (
        running() as emulator,
        httpx.AsyncClient(base_url=emulator.http_address, trust_env=False) as client,
    ):
        target = {"uri": "http://127.0.0.1:1/", "httpMethod": 99}
        job = {"name": JOB, "schedule": "* * * * *", "httpTarget": target}
        made = await client.post(f"/v1/{LOCATION}/jobs", json=job)
        assert made.status_code == 400
        assert "http_method" in made.json()["error"]["message"]


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '{"a":' * 100_000, "1" * 100_000, '{"task": "\\ud800"}', '{"\\ud800": 1}']
)
@pytest.mark.parametrize("path", [f"v2/{QUEUE}/tasks", f"v2/{LOCATION}/queues", f"v1/{LOCATION}/jobs"])
async def test_json_that_cannot_be_read_is_a_bad_request(path: str, body: str) -> None:
    async with running() as emulator, httpx.AsyncClient(trust_env=False) as client:
        url = f"{emulator.http_address}/{path}"
        answered = await client.post(url, content=body.encode(), headers={"content-type": "application/json"})
        assert answered.status_code == 400


async def test_bytes_that_are_no_message_are_a_bad_request_over_grpc() -> None:
    aio, grpc = import_module("grpc.aio"), import_module("grpc")
    async with running() as emulator, aio.insecure_channel(emulator.grpc_address) as channel:
        for body in (b"\xff\xff\xff", b"\x0a\xff"):
            call = channel.unary_unary("/google.cloud.tasks.v2.CloudTasks/CreateTask")
            with pytest.raises(aio.AioRpcError) as raised:
                await call(body)
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        long = request_class("GetQueueRequest")(name="x" * 1_000_000).SerializeToString()
        with pytest.raises(aio.AioRpcError) as raised:
            await channel.unary_unary("/google.cloud.tasks.v2.CloudTasks/GetQueue")(long)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


# --- what targets answer


@pytest.mark.parametrize(
    "header",
    [
        SPENT, "Mon, 99 Xyz 2024 99:99:99 +99:99", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "\x00", "١٢", "-1", "1e9",
        "Mon, 01 Jan 2024 00:00:00 -0000", "Fri, 31 Dec 9999 23:59:59 -2359", "99999999999999999999999", ",", "Mon, 01 Jan 2024",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [500, 429, 503, 409])
async def test_a_task_is_sent_again_whatever_its_target_answers(header: str, status: int) -> None:
    world = World()
    await world.make(QUEUE, JOB)
    world.reply = HttpAnswer(status, {"retry-after": header})
    await world.emulator.dispatcher.turn()
    world.reply = HttpAnswer(200)
    world.clock.advance(30 * 24 * HOUR_MS)  # the longest that a target may ask for
    await world.emulator.dispatcher.turn()
    assert world.calls.count(TASK) == 2
    assert world.emulator.store.task(TASK) is None


@UNTIMED
@given(
    st.one_of(
        st.text(),
        st.from_regex(
            r"\w{3}, \d{1,22} \w{3} \d{1,22} \d{1,4}:\d{1,4}:\d{1,4} [+-]?\w{1,22}", fullmatch=True
        ),
    )
)
def test_any_retry_after_is_within_its_bounds(header: str) -> None:
    assert 0 <= retry_after_ms(header, 1_700_000_000_000, 1000) <= 1000


async def test_a_flight_that_cannot_be_accounted_for_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    await world.make(HONEST, HONEST_JOB)
    await world.make(QUEUE, JOB)
    world.reply = HttpAnswer(500)
    store = world.emulator.store
    set_state = store.set_state

    def failing(task: Any, state: Any) -> Any:
        if task.name == TASK and state.responses:
            msg = "this one cannot be kept"
            raise RuntimeError(msg)
        return set_state(task, state)

    monkeypatch.setattr(store, "set_state", failing)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await world.emulator.dispatcher.turn()
            world.clock.advance(60_000)
    assert world.calls.count(TASK) == 3
    named = [record for record in caplog.records if TASK in record.getMessage()]
    assert len(named) == 1
    await world.go_on()


async def test_a_task_and_a_job_that_cannot_begin_are_named_once_and_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    await world.make(HONEST, HONEST_JOB)
    await world.make(QUEUE, JOB)
    dispatcher = world.scheduler.dispatcher
    begin, begin_task = dispatcher._begin, world.emulator.dispatcher._begin

    def failing(entry: Any, now: int) -> bool:
        assert entry.name != JOB
        return begin(entry, now)

    def failing_task(lane: Any, task: Any, now: int) -> Any:
        assert task.name != TASK
        return begin_task(lane, task, now)

    monkeypatch.setattr(dispatcher, "_begin", failing)
    monkeypatch.setattr(world.emulator.dispatcher, "_begin", failing_task)
    with caplog.at_level(logging.WARNING):
        await world.go_on()
    for name in (JOB, TASK):
        assert len([record for record in caplog.records if name in record.getMessage()]) == 1
    monkeypatch.undo()
    world.clock.advance(HOUR_MS)
    await dispatcher.turn()
    await world.emulator.dispatcher.turn()
    assert {JOB, TASK} <= set(world.calls)


# --- what the state file holds


async def test_damaged_records_of_any_kind_are_named_and_the_rest_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state.db"
    later = {"nanos": 0, "seconds": 0}
    async with running(state=path) as emulator:
        async with httpx.AsyncClient(base_url=emulator.http_address, trust_env=False) as client:
            for queue in ("a", "b"):
                name = f"{LOCATION}/queues/{queue}"
                assert (await client.post(f"/v2/{LOCATION}/queues", json={"name": name})).status_code == 200
                assert (await client.post(f"/v2/{name}:pause")).status_code == 200
                for task in ("x", "y"):
                    made = {"name": f"{name}/tasks/{task}", "httpRequest": {"url": "http://127.0.0.1:1/"}}
                    assert (await client.post(f"/v2/{name}/tasks", json={"task": made})).status_code == 200
            for job in ("good", "bad"):
                made = {
                    "name": f"{LOCATION}/jobs/{job}",
                    "schedule": "0 0 1 1 *",
                    "httpTarget": {"uri": "http://127.0.0.1:1/"},
                }
                assert (await client.post(f"/v1/{LOCATION}/jobs", json=made)).status_code == 200
        journal = emulator.journal
        journal.put("queue", f"{LOCATION}/queues/b", b"\xc1")
        journal.put("task", f"{LOCATION}/queues/a/tasks/x", b"\xc1")
        journal.put("attempts", f"{LOCATION}/queues/a/tasks/y", b"[" * 1000)
        journal.put("scheduled-job", f"{LOCATION}/jobs/bad", msgspec.msgpack.encode(later))
        journal.put("gone-task", "x", b"\xc1")
        journal.put("gone-queue", "x", b"\xc1")
        journal.put("policy", f"{LOCATION}/queues/a", b"\xff")
        journal.put("token-key", "1", b"no key")
        await journal.commit()
    with caplog.at_level(logging.ERROR):
        async with (
            running(state=path) as emulator,
            httpx.AsyncClient(base_url=emulator.http_address, trust_env=False) as client,
        ):
            queues = (await client.get(f"/v2/{LOCATION}/queues")).json()["queues"]
            tasks = (await client.get(f"/v2/{LOCATION}/queues/a/tasks")).json()["tasks"]
            jobs = (await client.get(f"/v1/{LOCATION}/jobs")).json()["jobs"]
            policy = await client.post(f"/v2/{LOCATION}/queues/a:getIamPolicy")
            keys = (await client.get("/oauth2/v3/certs")).json()["keys"]
    shown = [one["name"].rpartition("/")[2] for one in (*queues, *tasks, *jobs)]
    assert shown == ["a", "y", "good"]
    assert policy.status_code == 200
    assert len(keys) == 1
    said = "\n".join(record.getMessage() for record in caplog.records)
    for part in (
        "queues/b",
        "tasks/x",
        "tasks/y",
        "jobs/bad",
        "gone-task",
        "gone-queue",
        "policy",
        "the key of the tokens",
    ):
        assert part in said
