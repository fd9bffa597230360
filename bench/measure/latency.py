"""How long an idle or half-loaded worker takes to pick up a job, and a caller to have its result."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import percentile
from bench.measure.base import TEXT_200, Reading
from bench.scene import Scene

if TYPE_CHECKING:
    from bench.measure.base import Subject
    from bench.processes import ProducerProcess
    from bench.tally import Tally

_WARM = 50
_QUIET_RATE = 50.0
_QUIET_SECONDS = 6.0  # 300 jobs: the p99 is then more than the worst of a moment
_HALF_SECONDS = 2.0
_HALF_MOST = (
    5000.0  # jobs/s: single enqueues of one producer; what a half load of more would measure is the producer
)
_RESULTS = 200
_PATIENCE = 60.0


def quiet(subject: Subject) -> Reading:
    """50 jobs/s on an otherwise idle worker."""
    return _paced(subject, "pickup", _QUIET_RATE, _QUIET_SECONDS * subject.scale)


def half_load(subject: Subject) -> Reading:
    """Half of the rate that this peer drained in this run, 5,000/s at most."""
    rate = min(_HALF_MOST, (subject.drain_rate or subject.peer.pace) / 2)
    return _paced(subject, "half", rate, _HALF_SECONDS * subject.scale)


def _paced(subject: Subject, prefix: str, rate: float, seconds: float) -> Reading:
    count = max(20, int(rate * seconds))
    with Scene(subject.peer, subject.environment, _WARM + count) as scene:
        producer = scene.producer()
        warm_up(scene, producer)
        jobs = range(_WARM, _WARM + count)
        answer = producer.load("paced", first=_WARM, count=count, rate=rate, text=TEXT_200)
        scene.wait_for(jobs, _PATIENCE)
        tallies = scene.finish(range(jobs.stop))
        values = late(tallies, jobs, stamps(answer), prefix)
        if prefix == "half":
            values["half-rate"] = count / answer["seconds"]
    return Reading(values, jobs.stop)


def warm_up(scene: Scene, producer: ProducerProcess) -> None:
    """Start the workers and let them run a few jobs, numbers 0 to 49."""
    scene.start_workers()
    producer.load("bulk", first=0, count=_WARM, text=TEXT_200)
    scene.wait_for(range(_WARM), _PATIENCE)


def stamps(answer: dict[str, Any]) -> array[float]:
    """Read the stamps that a load left in a file."""
    read: array[float] = array("d")
    read.frombytes(Path(answer["stamps"]).read_bytes())
    return read


def late(tallies: list[Tally], jobs: range, due: array[float], prefix: str) -> dict[str, float]:
    """Return percentiles, in milliseconds, of how long after its stamp each job ran."""
    ran = [max(tally.times[number] for tally in tallies) for number in jobs]
    delays = [(time - stamp) * 1000 for time, stamp in zip(ran, due, strict=True)]
    return {
        f"{prefix}-{name}": percentile(delays, share)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


def results(subject: Subject) -> Reading:
    """One caller enqueues, waits for the result, and again."""
    count = max(20, int(_RESULTS * subject.scale))
    with Scene(subject.peer, subject.environment, _WARM + count, feature="result") as scene:
        producer = scene.producer()
        warm_up(scene, producer)
        jobs = range(_WARM, _WARM + count)
        answer = producer.load("results", first=_WARM, count=count, text=TEXT_200)
        scene.wait_for(jobs, _PATIENCE)
        scene.finish(range(jobs.stop))
    spent = [1000 * seconds for seconds in answer["spent"]]
    values = {
        f"result-{name}": percentile(spent, share)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }
    return Reading(values, jobs.stop)
