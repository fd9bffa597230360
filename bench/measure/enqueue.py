"""Single enqueues for a second, then a worker drains them for the check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.measure.base import TEXT_200, Reading
from bench.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.measure.base import Subject

_SECONDS = 1.0
_MOST = 60_000
_DRAIN_SECONDS = 2.0  # slow drainers enqueue for less long, so that the check stays short
_PATIENCE = 60.0


def enqueue(metric: str) -> Callable[[Subject], Reading]:
    """Return the measurement of one load: single, concurrent or blocking."""

    def measure(subject: Subject) -> Reading:
        count = min(_MOST, subject.size(_DRAIN_SECONDS, least=1000))
        with Scene(subject.peer, subject.environment, count) as scene:
            producer = scene.producer()
            answer = producer.load(
                metric, first=0, count=count, seconds=_SECONDS * max(0.3, subject.scale), text=TEXT_200
            )
            producer.stop()
            jobs = range(answer["count"])
            scene.start_workers()
            scene.wait_for(jobs, _PATIENCE)
            scene.finish(jobs)
        return Reading({metric: answer["count"] / answer["seconds"]}, len(jobs))

    return measure
