"""Roll-outs as the control store keeps them: a document for each queue, and a list of the queues that have one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Struct

from headway.control import MAX_BODY
from headway.errors import BrokerUnavailableError, CodecError, HeadwayError
from headway.routing.changing import change_routes
from headway.routing.rollout.campaign import Campaign
from headway.routing.rollout.rollout import Decision, Rollout, decode_rollout, encode_rollout
from headway.routing.routes import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import ControlStore
    from headway.clock import Clock
    from headway.control import Fence
    from headway.routing.declared import Declared
    from headway.routing.table import RouteTable

LISTED: Final = "rollouts"
"""The document that names the queues with a roll-out under way."""
MAX_DECISIONS: Final = 60
"""Decisions that are kept with a roll-out, fewer when they are large; the oldest go first."""
_TRIES: Final = 20


class StoredRollout(NamedTuple):
    """A roll-out as it stands, and the decisions that led there, the oldest first.

    `now_ms` is the instant of reading by the clock of the store.
    """

    rollout: Rollout
    decisions: tuple[Decision, ...]
    version: int
    now_ms: int


class Listed(Struct, frozen=True, omit_defaults=True):
    """Queues that have a roll-out under way, and a plan of several one after the other, if there is one.

    A queue may be named that has none: it is then taken out by whoever looks.
    """

    queues: tuple[str, ...] = ()
    campaign: Campaign | None = None
    began_ms: int = 0  # when the campaign began

    def including(self, queue: str) -> Listed:
        """Return the list with this queue."""
        return self if queue in self.queues else self._with(tuple(sorted({*self.queues, queue})))

    def without(self, queue: str) -> Listed:
        """Return the list without this queue."""
        if queue not in self.queues:
            return self
        return self._with(tuple(name for name in self.queues if name != queue))

    def _with(self, queues: tuple[str, ...]) -> Listed:
        return msgspec.structs.replace(self, queues=queues)

    @property
    def active(self) -> bool:
        """True when there is something to look at."""
        return bool(self.queues) or (self.campaign is not None and self.campaign.plan is not None)


class _Document(Struct, frozen=True):
    rollout: msgspec.Raw
    decisions: tuple[Decision, ...] = ()


_decoder: Final = msgspec.json.Decoder(_Document)
_list_decoder: Final = msgspec.json.Decoder(Listed)


def document_of(queue: str) -> str:
    """Return the name of a queue's roll-out in the control store; its lease is called the same."""
    return f"rollout:{queue}"


async def read_rollout(control: ControlStore, queue: str) -> StoredRollout | None:
    """Read the last roll-out of a queue; None: it never had one. CodecError when it is damaged."""
    found = await control.read_control(document_of(queue))
    if found is None:
        return None
    try:
        document = _decoder.decode(found.body)
    except msgspec.MsgspecError as error:
        msg = f"the stored roll-out of queue {queue} is damaged: {error}"
        raise CodecError(msg) from error
    rollout = decode_rollout(bytes(document.rollout))
    return StoredRollout(rollout, document.decisions, found.version, found.changed_ms + found.age_ms)


async def write_rollout(
    control: ControlStore,
    rollout: Rollout,
    decisions: tuple[Decision, ...],
    *,
    expected: int,
    fence: Fence | None = None,
) -> bool:
    """Write it, unless another version is there or the fence is stale; tell whether it was written."""
    raw = msgspec.Raw(encode_rollout(rollout))
    decisions = decisions[-MAX_DECISIONS:]
    body = msgspec.json.encode(_Document(raw, decisions))
    while len(body) > MAX_BODY and decisions:
        decisions = decisions[(len(decisions) + 1) // 2 :]
        body = msgspec.json.encode(_Document(raw, decisions))
    name = document_of(rollout.plan.queue)
    try:
        return await control.write_control(name, body, expected=expected, fence=fence) is not None
    except BrokerUnavailableError:
        # The answer is lost, maybe not what was written.
        found = await control.read_control(name)
        if found is not None and found.version == expected + 1 and found.body == body:
            return True
        raise


async def store_now(control: ControlStore) -> int:
    """Return the present instant by the clock of the store. A store without any document gets the empty list."""
    found = await control.read_control(LISTED)
    if found is None:
        await control.write_control(LISTED, msgspec.json.encode(Listed()), expected=0)
        found = await control.read_control(LISTED)
    if found is None:
        msg = "the list of roll-outs was written and is not there: is the control store being emptied?"
        raise HeadwayError(msg)
    return found.changed_ms + found.age_ms


async def read_listed(control: ControlStore) -> Listed:
    """Read the list; CodecError when it is damaged."""
    return (await _read_listed(control))[0]


async def change_listed(control: ControlStore, edit: Callable[[Listed], Listed]) -> Listed:
    """Write what `edit` makes of the list, if that is anything new; of a lost race, of the newest list anew."""
    for _ in range(_TRIES):
        listed, version = await _read_listed(control)
        after = edit(listed)
        if after == listed:
            return listed
        if await control.write_control(LISTED, msgspec.json.encode(after), expected=version) is not None:
            return after
    msg = "the list of roll-outs was not changed: others change it all the time; try again"
    raise HeadwayError(msg)


async def _read_listed(control: ControlStore) -> tuple[Listed, int]:
    found = await control.read_control(LISTED)
    if found is None:
        return Listed(), 0
    try:
        return _list_decoder.decode(found.body), found.version
    except msgspec.MsgspecError as error:
        msg = f"the stored list of roll-outs is damaged: {error}"
        raise CodecError(msg) from error


async def set_route(
    control: ControlStore,
    declared: Declared,
    rollout: Rollout,
    made: Decision,
    clock: Clock,
    *,
    who: str,
    fence: Fence | None = None,
) -> None:
    """Put the route of a decision in force, unless the queue has another one meanwhile than the decision was made for.

    It may be called again and again. RoutesBusyError as `change_routes`.
    """
    queue = rollout.plan.queue
    seen, target = Route(queue, rollout.was, rollout.was_by), Route(queue, made.route, rollout.by)
    why = f"roll-out: {made.reason}: {made.text}"

    def edit(table: RouteTable, now_ms: int) -> RouteTable:
        present = declared.route(table, queue)
        if present == target or present != seen:
            return table
        return table.changed(
            {queue: target}, who=made.who or who, when_ms=now_ms, why=why, unrouted=declared.unrouted
        )

    await change_routes(control, edit, clock, fence=fence)
