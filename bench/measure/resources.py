"""What a worker costs while it has nothing to do, and while it only waits for its jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.measure.base import TEXT_200, Reading, UnsupportedTestError
from bench.measure.latency import warm_up
from bench.scene import Scene

if TYPE_CHECKING:
    from bench.measure.base import Subject
    from bench.scene import Load

_SETTLE = 6.0  # what a worker does once, a few seconds after its start, is not what it does while idle
_IDLE_SECONDS = 5.0
_QUEUES = 11
_WARM = 50
_HELD = 1000
_HOLD_SECONDS = 20.0
_WINDOW = 15.0  # the longest of the peers' renewal intervals
_TAKE_UP = 2.5
_PATIENCE = 60.0


def idle(subject: Subject) -> Reading:
    """A worker of 11 queues, as the systems that Headway replaces have them, in which nothing waits."""
    if not subject.peer.multi_queue:
        msg = "one consumer serves one queue"
        raise UnsupportedTestError(msg)
    queues = [f"bench{index}" for index in range(_QUEUES)]
    with Scene(subject.peer, subject.environment, _WARM, queues=queues) as scene:
        producer = scene.producer()
        warm_up(scene, producer)
        producer.stop()
        time.sleep(_SETTLE)
        load = _watch(scene, _IDLE_SECONDS * max(0.5, subject.scale))
        values = {"idle-commands-11": load.commands, "connections-11": float(scene.connections())}
        scene.finish(range(_WARM))
    return Reading(values, _WARM)


def leases(subject: Subject) -> Reading:
    """1,000 jobs run and do nothing but sleep, for longer than any peer's renewal interval."""
    short = subject.scale < 1
    window = 6.0 if short else _WINDOW
    hold = _HOLD_SECONDS - _WINDOW + window
    with Scene(subject.peer, subject.environment, _HELD, concurrency=_HELD, work="hold", hold=hold) as scene:
        producer = scene.producer()
        scene.start_workers()
        producer.load("bulk", first=0, count=_HELD, text=TEXT_200)
        producer.stop()
        time.sleep(_TAKE_UP)
        load = _watch(scene, window)
        scene.wait_for(range(_HELD), _PATIENCE)
        scene.finish(range(_HELD))
    values = {
        "lease-commands": load.commands,
        "lease-redis-cpu": load.server_cpu * 1000,
        "lease-worker-cpu": load.worker_cpu * 1000,
    }
    return Reading(values, _HELD)


def _watch(scene: Scene, seconds: float) -> Load:
    """What happens on the server in some seconds."""
    before = scene.snapshot()
    time.sleep(seconds)
    return scene.snapshot().since(before)
