"""What the emulator answers about its state is on the disk first, also when it says no."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from headway.emulator.calls import answer
from headway.emulator.errors import ApiError, Code
from headway.emulator.faults import Dice, Faults
from headway.emulator.journal import Journal
from headway.emulator.scheduler.operations import operations as of_the_scheduler
from headway.emulator.scheduler.part import CloudScheduler
from headway.emulator.server import Emulator
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LOCATION = "projects/p/locations/l"
QUEUE = f"{LOCATION}/queues/q"
TASK = f"{QUEUE}/tasks/t"
TARGET = {"url": "http://x/run"}
CREATE = {"parent": QUEUE, "task": {"name": TASK, "http_request": TARGET}}


class HeldJournal(Journal):
    """While it is held, commits are under way and do not end."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._open = threading.Event()
        self._open.set()

    def hold(self) -> None:
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    def _write(self, db: Any, batch: Any) -> str | None:
        assert self._open.wait(30)
        return super()._write(db, batch)


class Service:
    """The operations of an emulator, without its ports."""

    def __init__(self, journal: HeldJournal) -> None:
        self.journal = journal
        self.emulator = Emulator(journal=journal, clock=FakeClock(), automatic=False)
        self._operations = {operation.name: operation for operation in self.emulator.operations()}
        self._dice = Dice(Faults())

    async def __call__(self, name: str, /, **fields: Any) -> Any:
        operation = self._operations[name]
        return await answer(operation, operation.request(**fields), self._dice, self.journal)

    def begin(self, name: str, /, **fields: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(self(name, **fields))


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    journal = HeldJournal(tmp_path / "state.db")
    await journal.open()
    found = Service(journal)
    await found("CreateQueue", parent=LOCATION, queue={"name": QUEUE})
    yield found
    journal.let_go()
    await journal.close()


async def unanswered(*calls: asyncio.Task[Any]) -> None:
    """All have come as far as they can without the disk."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert not [call for call in calls if call.done()]


async def code(call: asyncio.Task[Any]) -> Code:
    with pytest.raises(ApiError) as refused:
        await asyncio.wait_for(call, 30)
    return refused.value.code


async def test_a_repeated_create_is_not_told_of_a_task_that_may_yet_be_lost(service: Service) -> None:
    service.journal.hold()
    first = service.begin("CreateTask", **CREATE)
    await unanswered(first)
    again = service.begin("CreateTask", **CREATE)
    reads = [
        service.begin("GetTask", name=TASK),
        service.begin("ListTasks", parent=QUEUE),
    ]
    await unanswered(first, again, *reads)
    service.journal.let_go()
    assert (await asyncio.wait_for(first, 30)).name == TASK
    assert await code(again) is Code.ALREADY_EXISTS
    assert [len((await read).ListFields()) > 0 for read in reads] == [True, True]


async def test_a_repeated_delete_is_not_told_of_an_end_that_may_yet_be_undone(service: Service) -> None:
    await service("CreateTask", **CREATE)
    service.journal.hold()
    first = service.begin("DeleteTask", name=TASK)
    await unanswered(first)
    later = [
        (service.begin("DeleteTask", name=TASK), Code.NOT_FOUND),
        (service.begin("CreateTask", **CREATE), Code.ALREADY_EXISTS),
    ]
    await unanswered(first, *(call for call, _ in later))
    service.journal.let_go()
    await asyncio.wait_for(first, 30)
    for call, expected in later:
        assert await code(call) is expected


async def test_the_same_holds_for_queues(service: Service) -> None:
    other = f"{LOCATION}/queues/other"
    service.journal.hold()
    made = service.begin("CreateQueue", parent=LOCATION, queue={"name": other})
    gone = service.begin("DeleteQueue", name=QUEUE)
    await unanswered(made, gone)
    later = [
        (service.begin("CreateQueue", parent=LOCATION, queue={"name": other}), Code.ALREADY_EXISTS),
        (service.begin("CreateQueue", parent=LOCATION, queue={"name": QUEUE}), Code.FAILED_PRECONDITION),
        (service.begin("DeleteQueue", name=QUEUE), Code.NOT_FOUND),
        (service.begin("CreateTask", **CREATE), Code.NOT_FOUND),
    ]
    await unanswered(made, gone, *(call for call, _ in later))
    service.journal.let_go()
    await asyncio.gather(made, gone)
    for call, expected in later:
        assert await code(call) is expected


async def test_a_disk_that_refuses_is_never_taken_for_an_acceptance(service: Service) -> None:
    database = service.journal._db
    assert database is not None
    service.journal.hold()
    first = service.begin("CreateTask", **CREATE)
    await unanswered(first)
    while_it_is_written = service.begin("CreateTask", **CREATE)
    await unanswered(first, while_it_is_written)
    database.execute("PRAGMA query_only = 1")  # as a full disk
    service.journal.let_go()
    assert await code(first) is Code.UNAVAILABLE
    assert await code(while_it_is_written) is Code.UNAVAILABLE
    batch = {"parent": QUEUE, "requests": [CREATE]}
    for name, fields in (
        ("CreateTask", CREATE),
        ("BatchCreateTasks", batch),
        ("DeleteTask", {"name": f"{TASK}-never"}),
        ("GetTask", {"name": TASK}),
        ("RunTask", {"name": TASK}),
        ("CreateQueue", {"parent": LOCATION, "queue": {"name": QUEUE}}),
    ):
        assert await code(service.begin(name, **fields)) is Code.UNAVAILABLE
    assert service.emulator.dispatcher.dispatch_due() == 0


async def test_what_is_durable_is_answered_without_the_disk(service: Service) -> None:
    await service("CreateTask", **CREATE)
    service.journal.hold()
    assert (await service("GetTask", name=TASK)).name == TASK
    assert await code(service.begin("CreateTask", **CREATE)) is Code.ALREADY_EXISTS


async def test_a_batch_that_is_repeated_while_it_is_written_is_one_batch(service: Service) -> None:
    unnamed = {"parent": QUEUE, "task": {"http_request": TARGET}}
    batch = {"parent": QUEUE, "request_id": "0e7d2a52-30c5-4b53-8c2e-1a1c9c3c7a10", "requests": [unnamed] * 3}
    service.journal.hold()
    first = service.begin("BatchCreateTasks", **batch)
    await unanswered(first)
    again = service.begin("BatchCreateTasks", **batch)
    await unanswered(first, again)
    service.journal.let_go()
    assert await asyncio.wait_for(first, 30) == await asyncio.wait_for(again, 30)
    assert len(service.emulator.store.tasks(QUEUE)) == 3


async def test_scheduled_jobs_go_the_same_way(service: Service) -> None:
    clock = FakeClock()
    scheduler = CloudScheduler(service.journal, clock, Dice(Faults()), automatic=False)
    served = {operation.name: operation for operation in of_the_scheduler(scheduler.service)}
    create = served["CreateJob"]
    message = create.request(
        parent=LOCATION,
        job={"name": f"{LOCATION}/jobs/j", "schedule": "* * * * *", "http_target": {"uri": "http://x/run"}},
    )
    service.journal.hold()
    first, again = (
        asyncio.create_task(answer(create, message, Dice(Faults()), service.journal)) for _ in range(2)
    )
    await unanswered(first, again)
    service.journal.let_go()
    assert (await asyncio.wait_for(first, 30)).name == f"{LOCATION}/jobs/j"
    assert await code(again) is Code.ALREADY_EXISTS
