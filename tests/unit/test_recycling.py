"""When a worker process is replaced: limits that can be met, and limits that cannot."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, cast

from headway.runtime.recycling import Recycling

if TYPE_CHECKING:
    import pytest

    from headway.runtime.member import Member


class Table:
    done = 0
    abandoned = False


class Process:
    """What the limits look at."""

    def __init__(self, born: float = 0.0, memory_mb: float = 50.0) -> None:
        self.index = 0
        self.slots = Table()
        self.born = born
        self.first_memory_mb = 50.0
        self.memory_mb = memory_mb
        self.claiming = asyncio.Event()
        self.claiming.set()


class Watch:
    now = 0.0

    def __init__(self, *, max_jobs: int = 0, max_memory_mb: int = 0) -> None:
        self.recycling = Recycling(max_jobs=max_jobs, max_memory_mb=max_memory_mb, clock=lambda: self.now)

    def due(self, process: Process) -> str:
        return self.recycling.due(cast("Member", process))


def test_no_limit_no_end() -> None:
    process = Process(memory_mb=10_000)
    process.slots.done = 10_000
    assert Watch().due(process) == ""


def test_a_process_that_has_done_its_jobs_goes() -> None:
    process = Process()
    process.slots.done = 10
    assert Watch(max_jobs=10).due(process) == "it has done 10 jobs"
    assert Watch(max_jobs=11).due(process) == ""


def test_a_process_that_grew_goes() -> None:
    watch = Watch(max_memory_mb=60)
    assert watch.due(Process(memory_mb=60)) == ""
    assert watch.due(Process(memory_mb=61)) == "it takes 61 MB"


def test_a_limit_below_what_a_worker_needs_ends_none_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch(max_memory_mb=40)
    for _ in range(5):
        assert watch.due(Process()) == ""
    assert caplog.messages == [
        "max_memory_mb = 40 is too low: a worker takes 50 MB before its first job; none is replaced for its memory"
    ]


def test_processes_that_reach_the_limit_at_once_live_longer_and_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = Watch(max_memory_mb=51)
    ends: list[float] = []
    process = Process(memory_mb=80)
    while len(ends) < 12:
        watch.now += 0.25
        if watch.due(process):
            ends.append(watch.now)
            process = Process(born=watch.now, memory_mb=80)
    lives = [b - a for a, b in itertools.pairwise(ends)]
    assert lives[:4] == [5.0, 10.0, 20.0, 40.0]
    assert max(lives) <= 300.0
    assert sum("is too low" in message for message in caplog.messages) == 1


def test_a_process_in_which_a_job_goes_on_past_its_end_is_replaced() -> None:
    process = Process()
    process.slots.abandoned = True
    assert Watch().due(process) == "a job goes on in it past its time limit"
