"""Several roll-outs, one after the other: the next when the one before has stood for its time, none after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.errors import CodecError
from headway.routing.rollout.plan import Plan

if TYPE_CHECKING:
    from headway.routing.rollout.rollout import Rollout

MAX_BYTES: Final = 1024 * 1024
"""Size of an encoded campaign: about 5,000 plans."""


class Campaign(Struct, frozen=True, omit_defaults=True):
    """Plans in the order of risk. `done` counts those that completed; `stopped` says why none follows, if so."""

    plans: tuple[Plan, ...]
    done: int = 0
    stopped: str = ""

    @property
    def plan(self) -> Plan | None:
        """The plan whose turn it is, None when all are done or a failure stopped them."""
        return None if self.stopped or self.done >= len(self.plans) else self.plans[self.done]


def moved_on(campaign: Campaign, rollout: Rollout) -> Campaign:
    """Return the campaign after its present roll-out went on: the next one's turn comes when this one completed.

    A roll-out of another plan changes nothing, so that a controller that is late does no harm.
    """
    if rollout.plan != campaign.plan or not rollout.status.over:
        return campaign
    if rollout.status.completed:
        return Campaign(campaign.plans, campaign.done + 1)
    text = f"{rollout.plan.queue} was {rollout.status}: {rollout.decision.text}"
    return Campaign(campaign.plans, campaign.done, text)


_decoder: Final = msgspec.json.Decoder(Campaign)


def encode_campaign(campaign: Campaign) -> bytes:
    """Return the campaign as JSON."""
    return msgspec.json.encode(campaign)


def decode_campaign(data: bytes) -> Campaign:
    """Read a campaign; CodecError when it is damaged or too large."""
    if len(data) > MAX_BYTES:
        msg = f"a stored campaign has {len(data)} bytes, more than {MAX_BYTES}"
        raise CodecError(msg)
    try:
        campaign = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        msg = f"a stored campaign is damaged: {error}"
        raise CodecError(msg) from error
    if not 0 <= campaign.done <= len(campaign.plans):
        msg = "a stored campaign is damaged: more is done than was planned"
        raise CodecError(msg)
    return campaign
