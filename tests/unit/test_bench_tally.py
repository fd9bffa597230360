from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

from bench.inside.tallyfile import map_tally
from bench.tally import (
    CheckFailedError,
    DeadlineError,
    Tally,
    check_exactly_once,
    count_ran,
    read_tallies,
    steady_rate,
    times_of,
    wait_ran,
)

if TYPE_CHECKING:
    from pathlib import Path


def tally(*counts: int) -> Tally:
    return Tally(bytes(counts), array("d", [float(index) for index in range(len(counts))]))


def test_what_a_worker_records_is_what_the_harness_reads(tmp_path: Path) -> None:
    times, counts = map_tally(tmp_path / "1.tally", 4)
    counts[2] += 1
    times[2] = 12.5

    (read,) = read_tallies(tmp_path, 4)
    assert read.counts == bytes([0, 0, 1, 0])
    assert read.times[2] == 12.5
    assert read.ran == 1
    assert count_ran(tmp_path, 4, 1, 3) == 1
    assert count_ran(tmp_path, 4, 3, 1) == 0


def test_each_job_once_over_all_processes_passes() -> None:
    check_exactly_once([tally(1, 0, 1), tally(0, 1, 0)], range(3))


def test_a_lost_job_fails() -> None:
    with pytest.raises(CheckFailedError, match="of 3 jobs 1 did not run and 0 ran more than once"):
        check_exactly_once([tally(1, 0, 1)], range(3))


@pytest.mark.parametrize("tallies", [[tally(1, 2, 1)], [tally(1, 1, 0), tally(0, 1, 1)]])
def test_a_job_that_ran_twice_fails(tallies: list[Tally]) -> None:
    with pytest.raises(CheckFailedError, match="0 did not run and 1 ran more than once"):
        check_exactly_once(tallies, range(3))


def test_a_backlog_that_is_left_may_be_unfinished_but_not_repeated() -> None:
    check_exactly_once([tally(1, 0, 0)], range(3), whole=False)
    with pytest.raises(CheckFailedError):
        check_exactly_once([tally(2, 0, 0)], range(3), whole=False)


def test_times_leave_out_what_did_not_run() -> None:
    assert times_of([tally(1, 0, 1), tally(0, 0, 0)], range(3)) == [[0.0, 2.0]]


def test_a_steady_rate_is_that_of_the_whole_drain() -> None:
    times = [index / 100 for index in range(1000)]
    assert steady_rate([times]) == pytest.approx(100, rel=0.01)


def test_only_the_time_in_which_all_processes_worked_counts() -> None:
    early = [index / 100 for index in range(1000)]  # 0 to 10 s
    late = [5 + index / 100 for index in range(1000)]  # 5 to 15 s
    assert steady_rate([early, late]) == pytest.approx(200, rel=0.01)


def test_without_a_common_window_the_rate_is_that_over_all() -> None:
    assert steady_rate([[0.0, 1.0, 2.0], [2.5, 3.0, 4.0]]) == pytest.approx(5 / 4)
    assert steady_rate([]) == 0


def test_waiting_ends_at_its_deadline_and_says_how_far_it_came(tmp_path: Path) -> None:
    _, counts = map_tally(tmp_path / "1.tally", 2)
    counts[0] = 1
    with pytest.raises(DeadlineError, match="1 of 2 jobs ran within 0 s"):
        wait_ran(tmp_path, 2, range(2), seconds=0, alive=lambda: None)
    wait_ran(tmp_path, 2, range(2), seconds=0, alive=lambda: None, enough=1)


def test_waiting_ends_when_nobody_is_left_to_run_the_jobs(tmp_path: Path) -> None:
    def gone() -> None:
        msg = "the worker ended"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="the worker ended"):
        wait_ran(tmp_path, 2, range(2), seconds=60, alive=gone)
