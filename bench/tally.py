"""What the workers' tallies say: whether each job ran exactly once, and when."""

from __future__ import annotations

import bisect
import time
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_POLL: Final = 0.02
_WARM_UP: Final = 0.05  # the share of a drain that is left out: connections are made, code gets warm


class CheckFailedError(Exception):
    """Jobs were lost or ran more than once."""


class DeadlineError(Exception):
    """Jobs did not run in time."""


@dataclass(frozen=True, slots=True)
class Tally:
    """One worker process's jobs."""

    counts: bytes
    times: array[float]

    @property
    def ran(self) -> int:
        """How many jobs ran here."""
        return len(self.counts) - self.counts.count(0)


def read_tallies(folder: Path, capacity: int) -> list[Tally]:
    """Read all processes' tallies."""
    tallies: list[Tally] = []
    for path in sorted(folder.glob("*.tally")):
        data = path.read_bytes()
        if len(data) == 9 * capacity:
            times: array[float] = array("d")
            times.frombytes(data[: 8 * capacity])
            tallies.append(Tally(data[8 * capacity :], times))
    return tallies


def count_ran(folder: Path, capacity: int, first: int, count: int) -> int:
    """Count the jobs of a range that ran, without reading the times."""
    ran = 0
    for path in folder.glob("*.tally"):
        with path.open("rb") as file:
            file.seek(8 * capacity + first)
            counts = file.read(count)
        ran += len(counts) - counts.count(0)
    return ran


def wait_ran(
    folder: Path,
    capacity: int,
    jobs: range,
    *,
    seconds: float,
    alive: Callable[[], object],
    enough: int | None = None,
) -> None:
    """Wait until the jobs have run; `alive` raises when nobody is left to run them. DeadlineError after `seconds`."""
    wanted = len(jobs) if enough is None else enough
    deadline = time.monotonic() + seconds
    while (ran := count_ran(folder, capacity, jobs.start, len(jobs))) < wanted:
        alive()
        if time.monotonic() > deadline:
            msg = f"{ran} of {wanted} jobs ran within {seconds:g} s"
            raise DeadlineError(msg)
        time.sleep(_POLL)


def check_exactly_once(tallies: Sequence[Tally], jobs: range, *, whole: bool = True) -> None:
    """Raise CheckFailedError unless each job ran once, in one process; unless `whole`, at most once."""
    totals = [0] * len(jobs)
    for tally in tallies:
        part = tally.counts[jobs.start : jobs.stop]
        if part.count(0) != len(part):
            for index, runs in enumerate(part):
                totals[index] += runs
    lost = totals.count(0) if whole else 0
    repeated = sum(1 for runs in totals if runs > 1)
    if lost or repeated:
        msg = f"of {len(jobs)} jobs {lost} did not run and {repeated} ran more than once"
        raise CheckFailedError(msg)


def times_of(tallies: Sequence[Tally], jobs: range) -> list[list[float]]:
    """Return each process's times of the jobs that it ran, sorted; processes that ran none are left out."""
    found: list[list[float]] = []
    for tally in tallies:
        times = sorted(tally.times[number] for number in jobs if tally.counts[number])
        if times:
            found.append(times)
    return found


def steady_rate(times: Sequence[Sequence[float]]) -> float:
    """Jobs per second while all processes worked: from the last one's first 5 % to the first one's last job.

    Without such a window (a process came when the work was nearly done) it is the rate over all; 0 without jobs.
    """
    merged = sorted(time for each in times for time in each)
    begin = max((each[int(len(each) * _WARM_UP)] for each in times), default=0.0)
    end = min((each[-1] for each in times), default=0.0)
    inside = bisect.bisect_right(merged, end) - bisect.bisect_right(merged, begin)
    if end > begin and inside * 5 >= len(merged):
        return inside / (end - begin)
    if len(merged) > 1 and merged[-1] > merged[0]:
        return (len(merged) - 1) / (merged[-1] - merged[0])
    return 0.0
