"""Delayed jobs and schedules: how late they start, and what happens when many come due at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.figures import percentile
from bench.measure.base import TEXT_200, Reading
from bench.measure.latency import late, stamps, warm_up
from bench.scene import Scene
from bench.tally import CheckFailedError, times_of

if TYPE_CHECKING:
    from bench.measure.base import Subject

_WARM = 50
_JOBS = 200
_LEAD = 1.0
_SPREAD = 3.0
_MANY = 100_000
_PATIENCE = 90.0
_LATE = 20.0
_CRON_SECONDS = 10.0


def lateness(subject: Subject) -> Reading:
    """200 jobs come due one after the other within three seconds; the worker is idle."""
    jobs = range(_WARM, _WARM + _JOBS)
    with Scene(subject.peer, subject.environment, jobs.stop) as scene:
        producer = scene.producer()
        warm_up(scene, producer)
        at = time.monotonic() + _LEAD
        answer = producer.load(
            "delayed",
            first=_WARM,
            count=_JOBS,
            at=at,
            spread=_SPREAD * max(0.5, subject.scale),
            text=TEXT_200,
        )
        scene.wait_for(jobs, _LATE)
        tallies = scene.finish(range(jobs.stop))
        values = late(tallies, jobs, stamps(answer), "delayed")
    return Reading(values, jobs.stop)


def stampede(subject: Subject) -> Reading:
    """100,000 jobs come due in the same moment; the worker waits for it."""
    count = subject.jobs or int(_MANY * subject.scale)
    jobs = range(_WARM, _WARM + count)
    with Scene(subject.peer, subject.environment, jobs.stop) as scene:
        producer = scene.producer()
        warm_up(scene, producer)
        # After the slowest enqueue: whoever is done earlier waits.
        at = time.monotonic() + 2.0 + count / (subject.bulk_rate or subject.peer.pace) * 1.5
        producer.load("delayed", first=_WARM, count=count, at=at, spread=0.0, text=TEXT_200)
        enqueued = time.monotonic()
        scene.wait_for(jobs, _PATIENCE)
        times = times_of(scene.finish(range(jobs.stop)), jobs)
    first, last = min(each[0] for each in times), max(each[-1] for each in times)
    if enqueued > at:
        msg = f"the enqueue ended {enqueued - at:.1f} s after the jobs came due: the figure would mix both"
        raise ValueError(msg)
    if first < at - 0.005:
        msg = f"a delayed job started {at - first:.3f} s before its time"
        raise CheckFailedError(msg)
    return Reading({"delayed-100k": count / (last - at)}, jobs.stop)


def cron(subject: Subject) -> Reading:
    """A cron job of every second (Headway)."""
    with Scene(subject.peer, subject.environment, 64, feature="cron") as scene:
        scene.start_workers()
        time.sleep(_CRON_SECONDS * max(0.5, subject.scale) + 1)
        scene.stop_workers()
        tallies = scene.tallies()
        wall = time.time() - time.monotonic()
        fires = sorted(time_of + wall for each in times_of(tallies, range(64)) for time_of in each)
    seconds = [round(fire - 0.25) for fire in fires]
    if len(set(seconds)) != len(seconds) or (seconds and seconds[-1] - seconds[0] + 1 != len(seconds)):
        msg = f"not one run a second: {fires}"
        raise CheckFailedError(msg)
    delays = [(fire - second) * 1000 for fire, second in zip(fires, seconds, strict=True)]
    return Reading({"cron-p50": percentile(delays, 0.5), "cron-max": max(delays)}, len(fires))
