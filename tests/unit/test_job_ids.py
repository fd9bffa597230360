"""Job ids: their form, their order, and that no two are equal."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway import Headway
from headway.job import TRANSITIONS, JobId, JobState, id_instant_ms, is_job_id, new_job_id


def test_the_form() -> None:
    job_id = new_job_id()
    assert len(job_id) == 20
    assert is_job_id(job_id)
    assert job_id == job_id.lower()
    assert not set(job_id) & set("ilou")


def test_the_instant_is_in_it() -> None:
    before = time.time_ns() // 1_000_000
    instant = id_instant_ms(new_job_id())
    assert before <= instant <= time.time_ns() // 1_000_000


def test_ids_of_a_process_increase_strictly() -> None:
    ids = [new_job_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))


def test_ids_of_threads_are_all_different_and_each_thread_sees_its_own_in_order() -> None:
    made: list[list[JobId]] = [[] for _ in range(8)]
    start = threading.Barrier(8)

    def make(own: list[JobId]) -> None:
        start.wait(10)
        own.extend(new_job_id() for _ in range(2000))

    threads = [threading.Thread(target=make, args=(own,)) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert all(own == sorted(own) for own in made)
    assert len({job_id for own in made for job_id in own}) == 16_000


def test_ids_of_processes_are_all_different() -> None:
    script = "from headway.job import new_job_id\nprint(*(new_job_id() for _ in range(5000)))"
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    ids = [job_id for process in processes for job_id in process.communicate(timeout=30)[0].split()]
    assert len(set(ids)) == len(ids) == 15_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_does_not_repeat_the_ids_of_its_parent() -> None:
    # The clock stands still, as it does within a millisecond: only chance can part the two.
    script = (
        "import os, time\n"
        "time.time_ns = lambda: 1_800_000_000_000_000_000\n"
        "from headway.job import new_job_id\n"
        "new_job_id()\n"
        "child = os.fork()\n"
        "os.write(1, (' '.join(new_job_id() for _ in range(100)) + ' ').encode())\n"
        "child and os.waitpid(child, 0)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    ids = answer.stdout.split()
    assert len(set(ids)) == len(ids) == 200


@given(st.text(max_size=25))
def test_what_is_no_id_is_refused(text: str) -> None:
    if is_job_id(text):
        assert id_instant_ms(text) >= 0
    else:
        with pytest.raises(ValueError, match="is not a job id"):
            id_instant_ms(text)
        with pytest.raises(ValueError, match="is not a job id"):
            Headway("x").job(text)


@pytest.mark.parametrize(
    "text", ["", "0" * 19, "0" * 21, "O" * 20, "0" * 19 + "u", "0" * 19 + "\n", "\u0660" * 20]
)
def test_near_misses_are_no_ids(text: str) -> None:
    assert not is_job_id(text)


def test_every_state_has_its_transitions_and_only_success_is_for_ever() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert [state for state in JobState if not TRANSITIONS[state]] == [JobState.SUCCEEDED]
    assert {state for state in JobState if state.terminal} == {
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.EXPIRED,
    }
