"""Steps of roll-outs by a receiver that may have been frozen between two requests."""

from __future__ import annotations

import asyncio
import time

import pytest

from headway.errors import BrokerUnavailableError
from headway.push import stepping
from headway.push.stepping import Stepping


class _Plays:
    def __init__(self, pause: float = 3.0) -> None:
        self.count = 0
        self.pause = pause
        self.error: Exception | None = None
        self.lasts = 0.0

    async def __call__(self) -> float:
        self.count += 1
        await asyncio.sleep(self.lasts)
        if self.error is not None:
            raise self.error
        return self.pause


async def test_a_request_steps_where_the_loop_stood_still_and_not_more_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plays = _Plays()
    one = Stepping(plays)
    assert await one.round() == 3.0
    late = [one.late]  # the loop will
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)  # frozen meanwhile
    late.append(one.late)
    await asyncio.gather(one.step(), one.step())
    late.append(one.late)
    assert (plays.count, late) == (2, [False, True, False])
    assert await one.round() == pytest.approx(3.0)  # the loop wakes, and has nothing to do
    assert plays.count == 2


async def test_a_store_that_is_away_or_slow_keeps_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepping, "_PATIENCE", 0.01)
    plays = _Plays()
    plays.error = BrokerUnavailableError("away")
    one = Stepping(plays)
    await one.step()
    with pytest.raises(BrokerUnavailableError):
        await one.round()  # the loop says it
    plays.error, plays.lasts = None, 30.0
    await one.step()
    assert plays.count == 3
