"""How lanes share the places of a worker: decided without a carrier."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from headway.runtime import share as share_module
from headway.runtime.demand import Demand
from headway.runtime.share import Places

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from headway.brokers.base import QueueWant
    from headway.runtime.share import Share


class Scene:
    """Two lanes and what they were told."""

    def __init__(self, concurrency: int, **limits: int) -> None:
        self.demand = Demand(["q", "r"], concurrency, limits=limits, rng=random.Random(1))
        self.full = 0
        self.places = Places(self.demand, self._stay_full)
        self.told = {"a": 0, "b": 0}
        self.a, self.b = (self.places.share(self._telling(name)) for name in ("a", "b"))

    def _stay_full(self) -> None:
        self.full += 1

    def _telling(self, name: str) -> Callable[[], None]:
        def tell() -> None:
            self.told[name] += 1

        return tell

    def asks(self, share: Share) -> tuple[int, list[QueueWant]]:
        room = share.room()
        return room, share.wants(room) if room else []

    def answered(self, share: Share, room: int, count: int) -> None:
        for _ in range(count):
            share.take("q")
        share.claimed(room, count)


async def test_what_one_lane_has_asked_for_the_other_does_not_ask_for() -> None:
    scene = Scene(4)
    assert scene.a.room() == 2  # half, while the other may have jobs too
    scene.a.wants(2)
    assert scene.demand.held == 2
    assert scene.b.room() == 2
    scene.b.wants(2)
    assert scene.a.room() == 0
    scene.answered(scene.b, 2, 0)
    scene.answered(scene.a, 2, 2)
    assert (scene.demand.held, scene.a.held, scene.b.held) == (2, 2, 0)
    assert scene.a.room() == 2  # the other one has none
    assert scene.told["a"] == 2


async def test_one_place_goes_to_each_in_turn() -> None:
    scene = Scene(1)
    served: list[str] = []
    for _ in range(20):
        for name in random.Random(len(served)).sample(["a", "b"], 2):
            share = getattr(scene, name)
            room, _ = scene.asks(share)
            if room:
                assert room == 1
                scene.answered(share, 1, 1)
                served.append(name)
                share.give("q")
    assert "aaa" not in "".join(served)
    assert "bbb" not in "".join(served)
    assert abs(served.count("a") - served.count("b")) <= 1


async def test_a_queue_with_a_limit_is_asked_for_once() -> None:
    scene = Scene(8, q=1)
    room, wants = scene.asks(scene.a)
    assert {want.queue: want.limit for want in wants} == {"q": 1, "r": room}
    _, others = scene.asks(scene.b)
    assert [want.queue for want in others] == ["r"]
    scene.a.failed()
    scene.b.claimed(4, 0)
    _, again = scene.asks(scene.b)
    assert {want.queue for want in again} == {"q", "r"}


async def test_a_carrier_that_does_not_answer_keeps_places_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(1)
    assert scene.asks(scene.a)[0] == 1
    assert scene.b.room() == 0
    assert scene.b.patience is not None
    monkeypatch.setattr(share_module, "_PATIENCE", -1.0)  # it has passed
    assert scene.asks(scene.b)[0] == 1
    scene.answered(scene.b, 1, 1)
    scene.answered(scene.a, 1, 1)  # late, and one too many: it waits, or goes back
    assert scene.demand.held == 2
    assert scene.a.room() == scene.b.room() == 0
    scene.b.give("q")
    scene.a.give("q")
    assert scene.demand.held == scene.demand.reserved == 0


async def test_a_carrier_that_failed_is_asked_for_nothing_first() -> None:
    scene = Scene(2)
    scene.asks(scene.a)
    assert scene.a.failed()
    assert scene.demand.held == 0
    assert scene.a.room() == 0
    assert scene.b.room() == 2
    scene.a.claimed(0, 0)  # it has answered
    assert scene.a.room() == 1


async def test_a_lane_that_cannot_ask_leaves_all_to_the_other() -> None:
    scene = Scene(2)
    scene.a.room()
    scene.a.none()
    assert scene.b.room() == 2
    scene.a.room()
    scene.a.leave()
    assert scene.b.room() == 2


async def test_a_worker_that_stays_full_is_told_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_module, "_FULL", 0.01)
    scene = Scene(1)
    scene.asks(scene.a)
    scene.answered(scene.a, 1, 1)
    await asyncio.sleep(0.1)
    assert scene.full == 1
    scene.a.give("q")
    await asyncio.sleep(0.05)
    assert scene.full == 1
