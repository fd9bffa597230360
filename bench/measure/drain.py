"""A backlog is enqueued in bulk, then workers are started and drain it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.measure.base import TEXT_10K, TEXT_200, Reading, UnsupportedTestError
from bench.scene import Scene
from bench.tally import steady_rate, times_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.measure.base import Subject

_SECONDS = 1.5
_PATIENCE = 90.0
_MICRO = 1e6


def drain(subject: Subject) -> Reading:
    """One process, no-op jobs; also what a job costs on the way."""
    jobs = range(subject.size(_SECONDS))
    peer = subject.peer
    processes = 2 if peer.floor else 1
    with Scene(peer, subject.environment, len(jobs), processes=processes) as scene:
        producer = scene.producer()
        memory, cpu_first = scene.server_memory(), scene.server_cpu()
        bulk = producer.load("bulk", first=0, count=len(jobs), text=TEXT_200)
        waiting, cpu_enqueued = scene.server_memory() - memory, scene.server_cpu()
        producer.stop()
        scene.wait_quiet()
        scene.start_workers()
        scene.wait_for(jobs, _PATIENCE)
        usage, cpu_drained = scene.usage(), scene.server_cpu()
        tallies = scene.finish(jobs)
        times = times_of(tallies, jobs)
        values = {
            "bulk": len(jobs) / bulk["seconds"],
            "bulk-producer-cpu": bulk["cpu"] / len(jobs) * _MICRO,
            "drain": steady_rate(times),
            "worker-cpu": usage.cpu / len(jobs) * _MICRO,
            "worker-memory": usage.memory / 2**20,
            "cold-start": (min(each[0] for each in times) - scene.spawned) * 1000,
        }
        if scene.server is not None:
            values |= {
                "redis-cpu-drain": (cpu_drained - cpu_enqueued) / len(jobs) * _MICRO,
                "redis-cpu-life": (cpu_drained - cpu_first) / len(jobs) * _MICRO,
                "memory-waiting": waiting / len(jobs),
            }
        if peer.floor:  # its process runs no jobs: these would compare what cannot be compared
            for name in ("worker-cpu", "worker-memory", "cold-start"):
                del values[name]
        return Reading(values, len(jobs))


def variant(
    metric: str,
    *,
    seconds: float = _SECONDS,
    processes: int = 1,
    work: str = "none",
    text: str = TEXT_200,
    queues: int = 1,
    pace: Callable[[Subject], float] | None = None,
) -> Callable[[Subject], Reading]:
    """Return a drain of another shape that gives the one metric."""

    def measure(subject: Subject) -> Reading:
        peer = subject.peer
        jobs = range(subject.size(seconds, pace=pace(subject) if pace else None))
        names = [f"bench{index}" for index in range(queues)] if queues > 1 else ["bench"]
        with Scene(
            peer,
            subject.environment,
            len(jobs),
            processes=max(processes, 2 if peer.floor else 1),
            work=work,
            queues=names,
        ) as scene:
            producer = scene.producer()
            producer.load("bulk", first=0, count=len(jobs), text=text)
            producer.stop()
            scene.wait_quiet()
            scene.start_workers()
            scene.wait_for(jobs, _PATIENCE)
            rate = steady_rate(times_of(scene.finish(jobs), jobs))
        return Reading({metric: rate}, len(jobs))

    return measure


def backlogs(sizes: Mapping[str, int], most: int) -> Callable[[Subject], Reading]:
    """Return drains of the first `most` jobs of backlogs, one after the other: what waits behind them should not count.

    `sizes` are jobs by metric. `backlog-kept` is the rate at 1,000,000, of that at 10,000.
    """

    def measure(subject: Subject) -> Reading:
        largest = max(sizes.values())
        if subject.jobs is not None and subject.jobs < largest:
            msg = f"needs {largest} jobs; --jobs allows {subject.jobs}"
            raise UnsupportedTestError(msg)
        values: dict[str, float] = {}
        ran = 0
        for metric, size in sizes.items():
            values[metric], jobs = _backlog(subject, size, most)
            ran += jobs
        if "backlog-1m" in values:
            values["backlog-kept"] = values["backlog-1m"] / values["backlog-10k"]
        return Reading(values, ran)

    return measure


def _backlog(subject: Subject, count: int, most: int) -> tuple[float, int]:
    processes = 2 if subject.peer.floor else 1
    jobs = range(count)
    with Scene(subject.peer, subject.environment, count, processes=processes) as scene:
        producer = scene.producer()
        producer.load("bulk", first=0, count=count, text=TEXT_200, patience=300.0)
        producer.stop()
        scene.wait_quiet()
        scene.start_workers()
        scene.wait_for(jobs, _PATIENCE, enough=min(count, most))
        tallies = scene.finish(jobs) if count <= most else scene.end_early(jobs)
        return steady_rate(times_of(tallies, jobs)), sum(tally.ran for tally in tallies)


ten_kilobytes = variant(
    "drain-10k", seconds=1.0, text=TEXT_10K, pace=lambda subject: min(subject.peer.pace, 8000)
)
two_processes = variant("drain-2", processes=2, pace=lambda subject: 1.5 * subject.peer.pace)
sleeping = variant("drain-sleep", seconds=1.0, work="sleep")
spinning = variant("drain-cpu", seconds=1.0, work="cpu", pace=lambda subject: min(subject.peer.pace, 900))
spinning_two = variant(
    "drain-cpu-2", seconds=1.0, work="cpu", processes=2, pace=lambda subject: min(subject.peer.pace, 1500)
)


def many_queues(*counts: int) -> Callable[[Subject], Reading]:
    """Return drains of jobs that are spread over so many queues, one after the other.

    From one queue to 200, `queues-kept` is the rate at the last, of that at the first.
    """
    drains = [variant(f"queues-{count}", queues=count) for count in counts]

    def checked(subject: Subject) -> Reading:
        if not subject.peer.multi_queue:
            msg = "one consumer serves one queue"
            raise UnsupportedTestError(msg)
        readings = [measure(subject) for measure in drains]
        values = {name: value for reading in readings for name, value in reading.values.items()}
        if len(counts) > 1:
            values["queues-kept"] = values[f"queues-{counts[-1]}"] / values[f"queues-{counts[0]}"]
        return Reading(values, sum(reading.jobs for reading in readings))

    return checked
