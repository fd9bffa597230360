"""A backlog is enqueued in bulk, then workers are started and drain it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.measure.base import TEXT_10K, TEXT_200, Reading, UnsupportedTestError
from bench.scene import Scene
from bench.tally import steady_rate, times_of

if TYPE_CHECKING:
    from collections.abc import Callable

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


def backlog(metric: str, size: int, most: int) -> Callable[[Subject], Reading]:
    """Return a drain of the first `most` jobs of a backlog: the rate should not depend on what waits behind them."""

    def measure(subject: Subject) -> Reading:
        count = size if subject.jobs is None else min(size, subject.jobs)
        if count < size:
            msg = f"needs {size} jobs; --jobs allows {count}"
            raise UnsupportedTestError(msg)
        processes = 2 if subject.peer.floor else 1
        with Scene(subject.peer, subject.environment, count, processes=processes) as scene:
            producer = scene.producer()
            producer.load("bulk", first=0, count=count, text=TEXT_200, patience=300.0)
            producer.stop()
            scene.wait_quiet()
            scene.start_workers()
            scene.wait_for(range(count), _PATIENCE, enough=min(count, most))
            jobs = range(count)
            tallies = scene.finish(jobs) if count <= most else scene.end_early(jobs)
            return Reading(
                {metric: steady_rate(times_of(tallies, jobs))}, sum(tally.ran for tally in tallies)
            )

    return measure


ten_kilobytes = variant(
    "drain-10k", seconds=1.0, text=TEXT_10K, pace=lambda subject: min(subject.peer.pace, 8000)
)
two_processes = variant("drain-2", processes=2, pace=lambda subject: 1.5 * subject.peer.pace)
sleeping = variant("drain-sleep", seconds=1.0, work="sleep")
spinning = variant("drain-cpu", seconds=1.0, work="cpu", pace=lambda subject: min(subject.peer.pace, 900))
spinning_two = variant(
    "drain-cpu-2", seconds=1.0, work="cpu", processes=2, pace=lambda subject: min(subject.peer.pace, 1500)
)


def many_queues(count: int) -> Callable[[Subject], Reading]:
    """Return a drain of jobs that are spread over so many queues."""
    measure = variant(f"queues-{count}", queues=count)

    def checked(subject: Subject) -> Reading:
        if not subject.peer.multi_queue:
            msg = "one consumer serves one queue"
            raise UnsupportedTestError(msg)
        return measure(subject)

    return checked
