"""Single enqueues for a second in each way that the peer offers, then a worker drains them all for the check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.measure.base import TEXT_200, Reading, UnsupportedTestError
from bench.processes import UnsupportedLoadError
from bench.scene import Scene

if TYPE_CHECKING:
    from bench.measure.base import Subject

_WAYS = ("single", "concurrent", "blocking")
_SECONDS = 1.0
_MOST = 60_000
_DRAIN_SECONDS = 1.0  # slow drainers enqueue for less long, so that the check stays short
_PATIENCE = 60.0


def enqueues(subject: Subject) -> Reading:
    """One by one, 100 at once, and one by one from blocking code."""
    most = min(_MOST, subject.size(_DRAIN_SECONDS, least=700))
    values: dict[str, float] = {}
    unsupported: dict[str, str] = {}
    done = 0
    with Scene(subject.peer, subject.environment, len(_WAYS) * most) as scene:
        producer = scene.producer()
        for way in _WAYS:
            try:
                answer = producer.load(
                    way, first=done, count=most, seconds=_SECONDS * max(0.3, subject.scale), text=TEXT_200
                )
            except UnsupportedLoadError as error:
                unsupported[way] = str(error)
                continue
            values[way] = answer["count"] / answer["seconds"]
            done += answer["count"]
        producer.stop()
        if not values:
            raise UnsupportedTestError("; ".join(unsupported.values()))
        jobs = range(done)
        scene.start_workers()
        scene.wait_for(jobs, _PATIENCE)
        scene.finish(jobs)
    return Reading(values, done, unsupported)
