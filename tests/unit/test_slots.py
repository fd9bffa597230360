"""The table of started jobs: one process writes, another reads."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from headway.job import Lease, WorkerId, new_job_id
from headway.runtime.slots import Slots, Started

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def slots() -> Iterator[Slots]:
    slots = Slots.create(3)
    yield slots
    slots.close()


def lease(epoch: int = 1) -> Lease:
    return Lease(new_job_id(), WorkerId("w"), epoch)


def test_started_jobs_are_there_until_they_end(slots: Slots) -> None:
    one, two = lease(3), lease(2**40)
    first, second = slots.start(one, 12.5), slots.start(two, 0.0, apart=True)
    rest = Started(two.job_id, 0.0, 2**40, apart=True)
    assert sorted(slots.started(), key=lambda job: job.job_id) == [Started(one.job_id, 12.5, 3), rest]
    slots.end(first)
    assert slots.started() == [rest]
    slots.end(second)
    assert (slots.started(), slots.done) == ([], 2)


def test_a_full_table_refuses_nothing(slots: Slots) -> None:
    taken = [slots.start(lease(), 1.0) for _ in range(5)]
    assert sorted(taken) == [-1, -1, 0, 1, 2]
    assert len(slots.started()) == 3
    for slot in taken:
        slots.end(slot)
    assert (slots.started(), slots.done) == ([], 5)
    assert sorted(slots.start(lease(), 1.0) for _ in range(3)) == [0, 1, 2]


WORKER = """
import sys
from headway.job import Lease, WorkerId, new_job_id
from headway.runtime.slots import Slots

slots = Slots.attach(int(sys.argv[1]))
ids = [new_job_id() for _ in range(3)]
taken = [slots.start(Lease(job_id, WorkerId("w"), 1), 100.0 + n) for n, job_id in enumerate(ids)]
slots.end(taken[1])
slots.hold(7)
print(ids[0], ids[2], flush=True)
sys.stdin.readline()
slots.end(taken[0])
print("ended", flush=True)
sys.stdin.readline()
"""


def test_the_supervisor_sees_what_the_worker_writes_also_after_its_death(slots: Slots) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(slots.descriptor)],
        pass_fds=[slots.descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert worker.stdin is not None
    assert worker.stdout is not None
    with worker:
        try:
            first, third = worker.stdout.readline().split()
            assert {(job.job_id, job.deadline) for job in slots.started()} == {(first, 100.0), (third, 102.0)}
            assert (slots.done, slots.held()) == (1, 7)
            worker.stdin.write("go\n")
            worker.stdin.flush()
            assert worker.stdout.readline() == "ended\n"
        finally:
            worker.kill()
    assert [(job.job_id, job.deadline) for job in slots.started()] == [(third, 102.0)]
    assert (slots.done, slots.held()) == (2, 7)


def test_something_else_is_no_table() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 1000)
        file.flush()
        with pytest.raises(ValueError, match="not a table of started jobs"):
            Slots.attach(os.dup(file.fileno()))


def test_the_answer_names_the_job_that_keeps_the_loop_busy(slots: Slots) -> None:
    assert (slots.answers, slots.busy_with()) == (0, None)
    one = lease()
    slot = slots.start(one, 1.0)
    slots.answer(slot)
    assert (slots.answers, slots.busy_with()) == (1, one.job_id)
    slots.answer(-1)
    assert (slots.answers, slots.busy_with()) == (2, None)
    slots.answer(slot)
    slots.end(slot)
    assert slots.busy_with() is None  # it has ended since


def test_a_table_needs_no_folder_to_write_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    if not hasattr(os, "memfd_create"):
        pytest.skip("only Linux has files of memory")
    Slots.create(3).close()


def test_what_goes_on_although_its_job_has_ended_is_nobodys(slots: Slots) -> None:
    slot, other = slots.start(lease(126), 1.0), slots.start(lease(), 1.0)
    slots.abandon(slot)
    assert (slots.abandoned, len(slots.started())) == (True, 1)
    slots.end(slot)
    slots.end(other)
    assert (slots.abandoned, slots.started()) == (False, [])
