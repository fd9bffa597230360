"""Campaigns: several queues in the order of risk, none after a failure."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from headway.errors import CodecError
from headway.routing.rollout.campaign import Campaign, decode_campaign, encode_campaign, moved_on
from headway.routing.rollout.plan import Plan
from headway.routing.routes import route_of
from tests.unit.rollout_world import MINUTE, World

PLANS = tuple(
    Plan(queue=queue, to="push", steps=(10, 100), every_ms=MINUTE, delay_ms=0, min_jobs=10, max_error_rate=0.05, stand_ms=5 * MINUTE)
    for queue in ("thumbnails", "email", "invoices")
)  # fmt: skip


def world(plan: Plan, failing: float = 0.0) -> World:
    return World(Random(1), errors=(0.0, failing), route=route_of(plan.queue, {"main": 100}))


def test_the_next_queue_has_its_turn_when_the_one_before_has_stood_for_its_time() -> None:
    campaign, order = Campaign(PLANS), list[str]()
    while (plan := campaign.plan) is not None:
        order.append(plan.queue)
        there = world(plan)
        began = there.now_ms
        rollout = there.begin(plan)
        while not rollout.status.over:
            assert moved_on(campaign, rollout) == campaign
            rollout, _ = there.step(rollout)
        assert there.now_ms - began >= 7 * MINUTE
        campaign = moved_on(campaign, rollout)
        assert moved_on(campaign, rollout) == campaign  # a controller that is late says it again
        assert decode_campaign(encode_campaign(campaign)) == campaign
    assert order == ["thumbnails", "email", "invoices"]
    assert (campaign.done, campaign.stopped) == (3, "")


def test_none_follows_a_failure() -> None:
    campaign = Campaign(PLANS, 1)
    there = world(PLANS[1], failing=1.0)
    rollout, _ = there.run(PLANS[1])
    campaign = moved_on(campaign, rollout)
    assert campaign.plan is None
    assert campaign.stopped.startswith("email was rolled back: error rate 100.0 % of ")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"{", "is damaged"),
        (msgspec.json.encode({"plans": [], "done": 1}), "more is done than was planned"),
        (b" " * (1024 * 1024 + 1), "more than 1048576"),
    ],
)
def test_damage_is_an_error_of_its_own(data: bytes, message: str) -> None:
    with pytest.raises(CodecError, match=f"a stored campaign .*{message}"):
        decode_campaign(data)
