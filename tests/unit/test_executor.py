"""The executor over a reporter that only notes: each way a job can end, and what is written down of it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from headway import Context, Discard, Headway, Retry, RetryLater
from headway.codec import Codec, decode_history, decode_result
from headway.job import (
    Cancelled,
    Delivery,
    Expired,
    Failed,
    JobId,
    Lease,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    WorkerId,
    new_job_id,
)
from headway.runtime.executor import Executor
from headway.runtime.run import JobRun, Stop
from headway.runtime.slots import Slots
from headway.runtime.threads import Threads
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

NOW = 1_000_000
app = Headway("executor", clock=FakeClock(NOW), max_crashes=3)
STARTED = asyncio.Event
entered: dict[str, Any] = {}


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[Any, ...]] = []

    def progress(self, _lease: Lease, fraction: float, message: str) -> None:
        self.taken.append(("progress", fraction, message))

    def log(self, _lease: Lease, level: str, message: str) -> None:
        self.taken.append(("log", level, message))

    async def flush(self, lease: Lease) -> None:
        self.taken.append(("flush", lease.job_id))

    def busy(self, _lease: Lease) -> bool:
        return False


@app.task(name="add")
async def add(a: int, b: int) -> int:
    return a + b


@app.task(name="add_in_thread")
def add_in_thread(a: int, b: int) -> int:
    assert threading.current_thread() is not threading.main_thread()
    return a + b


@app.task(name="raise", retry=Retry(max_attempts=3, initial=10, jitter=0))
async def raise_(kind: str) -> None:
    match kind:
        case "value":
            msg = "wrong"
            raise ValueError(msg)
        case "exit":
            raise SystemExit(3)
        case "cancelled":
            raise asyncio.CancelledError
        case "later":
            raise RetryLater(5)
        case "discard":
            reason = "no need"
            raise Discard(reason)
        case _:
            msg = "bad name: \udcff"
            raise OSError(msg)


@app.task(name="raise_in_thread", retry=Retry.never())
def raise_in_thread() -> None:
    raise KeyboardInterrupt


@app.task(name="wait", timeout=60, retry=Retry(max_attempts=2, initial=1, jitter=0))
async def wait() -> None:
    entered["wait"].set()
    await asyncio.Event().wait()


@app.task(name="wait_in_thread", timeout=60, retry=Retry.never())
def wait_in_thread() -> None:
    entered["loop"].call_soon_threadsafe(entered["wait"].set)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        pass


@app.task(name="quick", timeout=0.01, retry=Retry.never())
async def quick() -> None:
    await asyncio.Event().wait()


@app.task(name="unwritable")
async def unwritable() -> object:
    return object()


@app.task(name="tell")
async def tell(ctx: Context, n: int) -> str:
    ctx.log("n is %d", n)
    await ctx.progress(0.5, "half \udcff")
    assert ctx.app is app
    return f"{ctx.job_id} {ctx.attempt} {ctx.crashes} {ctx.headers['h']} {ctx.idempotency_key}"


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(2)
    yield threads
    threads.close()


@pytest.fixture
async def executor(threads: Threads) -> Executor:
    entered["wait"] = asyncio.Event()
    entered["loop"] = asyncio.get_running_loop()
    return Executor(app, threads=threads)


def delivery(task: str, *args: Any, **fields: Any) -> Delivery:
    payload = fields.pop("payload", None)
    if payload is None:
        payload = Codec().encode_call(
            task, args, {}, fields.pop("headers", None), fields.pop("timeout_ms", 0)
        )
    given: dict[str, Any] = {"attempt": 1, "crashes": 0} | fields
    return Delivery(
        lease=Lease(JobId(new_job_id()), WorkerId("w"), 1),
        task=task,
        queue="q",
        payload=payload,
        priority=5,
        **given,
    )


def execute(executor: Executor, task: str, *args: Any, **fields: Any) -> Awaitable[Outcome]:
    return executor.run(JobRun(delivery(task, *args, **fields), Notes()))


def last_error(outcome: Outcome) -> tuple[str, str]:
    assert isinstance(outcome, Failed | RetryAt)
    error = decode_history(outcome.history)[-1]
    return error.type, error.message


@pytest.mark.parametrize("task", ["add", "add_in_thread"])
async def test_what_a_handler_returns_is_its_result(executor: Executor, task: str) -> None:
    outcome = await execute(executor, task, 1, 2)
    assert isinstance(outcome, Succeeded)
    assert decode_result(outcome.result, int) == 3


async def test_a_failed_attempt_is_retried_by_the_policy_of_its_task(executor: Executor) -> None:
    outcome = await execute(executor, "raise", "value")
    assert isinstance(outcome, RetryAt)
    assert (outcome.at_ms, outcome.counted) == (NOW + 10_000, True)
    (error,) = decode_history(outcome.history)
    assert (error.attempt, error.at_ms, error.type, error.message) == (1, NOW, "ValueError", "wrong")
    assert "raise ValueError(msg)" in error.traceback


async def test_the_last_attempt_goes_to_the_dead_letter_state_with_all_errors(executor: Executor) -> None:
    first = await execute(executor, "raise", "value")
    assert isinstance(first, RetryAt)
    outcome = await execute(executor, "raise", "exit", attempt=3, history=first.history)
    assert isinstance(outcome, Failed)
    assert [(e.attempt, e.type, e.message) for e in decode_history(outcome.history)] == [
        (1, "ValueError", "wrong"),
        (3, "SystemExit", "3"),
    ]


async def test_attempts_that_ended_with_their_worker_do_not_use_up_the_handlers_own(
    executor: Executor,
) -> None:
    assert isinstance(await execute(executor, "raise", "value", attempt=4, crashes=2), RetryAt)
    assert isinstance(await execute(executor, "raise", "value", attempt=5, crashes=2), Failed)


async def test_a_handler_may_ask_for_a_later_time_without_using_up_an_attempt(executor: Executor) -> None:
    outcome = await execute(executor, "raise", "later", attempt=3)
    assert outcome == RetryAt(NOW + 5000, counted=False)


async def test_a_handler_may_give_its_job_up(executor: Executor) -> None:
    assert await execute(executor, "raise", "discard") == Cancelled("discarded: no need")


@pytest.mark.parametrize("kind", ["exit", "cancelled"])
async def test_whatever_a_handler_raises_is_the_jobs_and_not_the_workers(
    executor: Executor, kind: str
) -> None:
    task = asyncio.current_task()
    assert task is not None
    assert isinstance(await execute(executor, "raise", kind), RetryAt)
    assert task.cancelling() == 0
    outcome = await execute(executor, "raise_in_thread")
    assert last_error(outcome)[0] == "KeyboardInterrupt"


async def test_a_text_that_no_encoding_has_is_escaped(executor: Executor) -> None:
    assert last_error(await execute(executor, "raise", "file")) == ("OSError", "bad name: \\udcff")


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"cancel_requested": True}, Cancelled()),
        ({"expires_ms": NOW}, Expired()),
    ],
)
async def test_what_is_not_started_at_all(
    executor: Executor, fields: dict[str, Any], outcome: Outcome
) -> None:
    assert await execute(executor, "add", 1, 2, **fields) == outcome


async def test_a_job_that_expires_later_is_started(executor: Executor) -> None:
    assert isinstance(await execute(executor, "add", 1, 2, expires_ms=NOW + 1), Succeeded)


async def test_a_job_that_keeps_killing_its_workers_is_given_up(executor: Executor) -> None:
    assert isinstance(await execute(executor, "add", 1, 2, crashes=2, attempt=3), Succeeded)
    outcome = await execute(executor, "add", 1, 2, crashes=3, attempt=4)
    kind, message = last_error(outcome)
    assert isinstance(outcome, Failed)
    assert kind == "PoisonJob"
    assert "died 3 times" in message


async def test_an_unknown_task_goes_to_the_dead_letter_state(executor: Executor) -> None:
    outcome = await execute(executor, "missing")
    assert isinstance(outcome, Failed)
    assert last_error(outcome) == (
        "UnknownTask",
        "no task 'missing' is declared in app 'executor' of this worker",
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"\x10\xc1",
        Codec().encode_call("add", [1], {}),
        Codec().encode_call("add", ["x", 1], {}),
    ],
)
async def test_a_payload_that_is_damaged_or_does_not_fit_goes_to_the_dead_letter_state(
    executor: Executor, payload: bytes
) -> None:
    outcome = await execute(executor, "add", payload=payload)
    assert isinstance(outcome, Failed)
    assert last_error(outcome)[0] == "headway.errors.CodecError"


async def test_a_result_that_cannot_be_written_is_a_failure_without_another_attempt(
    executor: Executor,
) -> None:
    outcome = await execute(executor, "unwritable")
    assert isinstance(outcome, Failed)
    kind, message = last_error(outcome)
    assert kind == "headway.errors.SerialisationError"
    assert "task 'unwritable': its result of type object" in message


async def test_an_attempt_that_takes_too_long_is_a_failure_like_any_other(executor: Executor) -> None:
    assert last_error(await execute(executor, "quick"))[0] == "headway.runtime.failure.JobTimeoutError"
    outcome = await execute(executor, "wait", timeout_ms=1)
    assert isinstance(outcome, RetryAt)
    assert outcome.counted


async def test_long_limits_are_watched_together(threads: Threads) -> None:
    entered["wait"] = asyncio.Event()
    executor = Executor(app, threads=threads)
    run = JobRun(delivery("wait"), Notes())
    running = asyncio.create_task(executor.run(run))
    await asyncio.wait_for(entered["wait"].wait(), 10)
    run.deadline = time.monotonic()  # its minute is over
    assert await executor.end_overdue() > 0
    assert last_error(await asyncio.wait_for(running, 10))[0] == "headway.runtime.failure.JobTimeoutError"


@pytest.mark.parametrize("task", ["wait", "wait_in_thread"])
@pytest.mark.parametrize(
    ("stop", "outcome"),
    [(Stop.CANCEL, Cancelled("asked")), (Stop.LOST, Released()), (Stop.DRAIN, Released())],
)
async def test_a_run_that_is_stopped_from_outside(
    executor: Executor, task: str, stop: Stop, outcome: Outcome
) -> None:
    run = JobRun(delivery(task), Notes())
    running = asyncio.create_task(executor.run(run))
    await asyncio.wait_for(entered["wait"].wait(), 10)
    run.interrupt(stop, "asked")
    run.interrupt(Stop.TIMEOUT, "too late: the first reason stands")
    assert await asyncio.wait_for(running, 10) == outcome
    assert (run.lease_held, run.cancel_requested) == (stop is not Stop.LOST, stop is Stop.CANCEL)
    assert running.cancelling() == 0


async def test_a_run_that_is_stopped_before_it_starts_calls_nothing(executor: Executor) -> None:
    run = JobRun(delivery("wait"), Notes())
    run.interrupt(Stop.DRAIN)
    assert await executor.run(run) == Released()
    assert not entered["wait"].is_set()


async def test_the_context_tells_of_the_job_and_takes_its_reports(executor: Executor) -> None:
    notes = Notes()
    job = delivery("tell", 7, headers={"h": "x"}, attempt=3, crashes=1)
    outcome = await executor.run(JobRun(job, notes))
    assert isinstance(outcome, Succeeded)
    job_id = job.lease.job_id
    assert decode_result(outcome.result) == f"{job_id} 3 1 x headway-{job_id}"
    # As it was said: the report makes it storable, see its own tests.
    assert notes.taken == [("log", "info", "n is 7"), ("progress", 0.5, "half \udcff"), ("flush", job_id)]


async def test_the_supervisor_sees_started_jobs_and_their_hard_deadline(threads: Threads) -> None:
    entered["wait"] = asyncio.Event()
    slots = Slots.create(4)
    try:
        executor = Executor(app, threads=threads, slots=slots)
        run = JobRun(delivery("wait"), Notes())
        before = time.monotonic()
        running = asyncio.create_task(executor.run(run))
        await asyncio.wait_for(entered["wait"].wait(), 10)
        (started,) = slots.started()
        assert started.job_id == run.delivery.lease.job_id
        assert started.deadline >= before + 60 + app.settings.kill_after
        run.interrupt(Stop.DRAIN)
        await running
        assert (slots.started(), slots.done) == ([], 1)
    finally:
        slots.close()
