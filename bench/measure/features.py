"""What Headway's features cost: each drain against a plain one of the same round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.measure.base import TEXT_200, Reading
from bench.scene import Scene
from bench.tally import steady_rate, times_of

if TYPE_CHECKING:
    from bench.measure.base import Subject

_FEATURES = ("result", "progress", "unique", "retry", "limit", "around")
_IN_BULK = {"unique": "feature-unique-bulk", "around": "feature-around-bulk"}
_SECONDS = 1.0
_PATIENCE = 90.0


def features(subject: Subject) -> Reading:
    """Ratios: 1 is as fast as plain, 0.5 half as fast."""
    count = subject.size(_SECONDS)
    plain_bulk, plain = _drain(subject, "", count)
    values: dict[str, float] = {}
    for feature in _FEATURES:
        bulk, rate = _drain(subject, feature, count)
        values[f"feature-{feature}"] = rate / plain
        if feature in _IN_BULK:
            values[_IN_BULK[feature]] = bulk / plain_bulk
    return Reading(values, count * (len(_FEATURES) + 1))


def _drain(subject: Subject, feature: str, count: int) -> tuple[float, float]:
    jobs = range(count)
    with Scene(subject.peer, subject.environment, count, feature=feature) as scene:
        producer = scene.producer()
        bulk = producer.load("bulk", first=0, count=count, text=TEXT_200)
        producer.stop()
        scene.wait_quiet()
        scene.start_workers()
        scene.wait_for(jobs, _PATIENCE)
        rate = steady_rate(times_of(scene.finish(jobs), jobs))
    return count / bulk["seconds"], rate
