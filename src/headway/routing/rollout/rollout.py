"""A roll-out as data, and what people do to it; `deciding` says what happens at each look.

All of it is pure: whoever holds the lease of the control store reads a roll-out and the figures, decides, and writes
the new state and, where the decision has one, the new route, each under the version that it read.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from headway.clock import LAST_MS
from headway.errors import CodecError
from headway.routing.rollout.judgement import Guard, Judgement
from headway.routing.rollout.judging import Watch
from headway.routing.rollout.plan import Plan
from headway.routing.rollout.sides import Sides
from headway.routing.routes import PLACES, Route, Runs

MAX_BYTES: Final = 256 * 1024
"""Size of an encoded roll-out; a usual one has 2 to 10 KiB."""


class Status(StrEnum):
    """Where a roll-out is in its life."""

    RUNNING = "running"
    PAUSED = "paused"  # it does not advance; it is still guarded, unless its route was changed by hand
    COMPLETED = "completed"
    ROLLED_BACK = "rolled back"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        """True when nothing more will happen to it."""
        return self not in {Status.RUNNING, Status.PAUSED}

    @property
    def completed(self) -> bool:
        """True when it went through all its steps."""
        return self is Status.COMPLETED


class Act(StrEnum):
    """What is decided at a look."""

    ADVANCE = "advance"  # to the next step: set the route
    HOLD = "hold"  # nothing changes, `reason` says why
    ROLL_BACK = "roll back"  # to the route of before: set it
    RESTORE = "restore"  # after a resume: set the route of the present step again
    PAUSE = "pause"
    COMPLETE = "complete"


class Reason(StrEnum):
    """Why it was decided so."""

    STARTED = "started"
    WARMING = "the delay before the first judgement is not over"
    STEP_TIME = "the time of this step is not over"
    INCONCLUSIVE = "too few jobs to tell"
    UNREAD = "figures were not read at this look"
    UNREADABLE = "figures cannot be read"
    PASSED = "all limits are kept"
    BROKEN = "a limit is broken"
    BY_HAND = "the route was changed by hand"
    ASKED = "asked for by hand"
    PAUSED = "paused"
    OVER = "the roll-out is over"
    UNCONFIRMED = "the route of the last decision is not in force yet"


class Decision(Struct, frozen=True, omit_defaults=True):
    """What was decided at one look, and the measurements it rests on.

    `route` are the runs to set, empty when the route stays. `percent` is the share of the new side that is then in
    force. `needed` is about how many more jobs must end on the new side, `needed_ms` about how long that takes at the
    present rate; 0 where it is not known.
    """

    number: int
    act: Act
    reason: Reason
    at_ms: int
    percent: int
    text: str = ""
    judgements: tuple[Judgement, ...] = ()
    route: Runs = ()
    needed: int = 0
    needed_ms: int = 0
    who: str = ""


class Rollout(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A roll-out of one queue.

    `before` is the route that a failure goes back to, `runs` the one that this roll-out has decided on, `was` the one
    that was in force when it did; while `unconfirmed`, nobody has seen `runs` in force. `step` counts from 0.
    `spent_ms` is how long the step has been looked at, `warm_ms` how much of the delay has passed. `base` are the
    figures at the beginning of the step, `last` those of the last look; None until the delay is over.
    """

    plan: Plan
    by: str
    before: Runs
    runs: Runs
    was: Runs
    was_by: str
    started_ms: int
    looked_ms: int
    decision: Decision
    unconfirmed: bool = True
    status: Status = Status.RUNNING
    by_hand: bool = False
    step: int = 0
    spent_ms: int = 0
    warm_ms: int = 0
    base: Sides | None = None
    last: Sides | None = None
    watches: dict[Guard, Watch] = {}
    unreadable: int = 0

    @property
    def route(self) -> Route:
        """The route that this roll-out has decided on."""
        return Route(self.plan.queue, self.runs, self.by)

    @property
    def percent(self) -> int:
        """Share of the new side in that route."""
        return self.route.weights.get(self.plan.to, 0)

    @property
    def last_step(self) -> bool:
        """True when no step follows."""
        return self.step == len(self.plan.steps) - 1


def start(plan: Plan, route: Route, now_ms: int, who: str = "") -> Rollout:
    """Begin: the first decision is to advance to the first step.

    `route` is the one in force; `check_against` says whether the plan fits it.
    """
    first = stepped(route, plan.to, plan.steps[0])
    text = f"{plan.queue} to {plan.to}: {plan.steps[0]} %"
    return Rollout(
        plan=plan,
        by=route.by,
        before=route.runs,
        runs=first.runs,
        was=route.runs,
        was_by=route.by,
        started_ms=now_ms,
        looked_ms=now_ms,
        decision=Decision(
            1, Act.ADVANCE, Reason.STARTED, now_ms, plan.steps[0], text, route=first.runs, who=who
        ),
    )


def stepped(route: Route, to: str, percent: int) -> Route:
    """Return the route with so many percent on a carrier; the others share the rest as they did, to a whole percent."""
    others = {name: weight for name, weight in route.weights.items() if name != to}
    rest, whole = PLACES - percent, sum(others.values())
    weights = {name: weight * rest // whole for name, weight in others.items()}
    by_remainder = sorted(others, key=lambda name: (-(others[name] * rest % whole), name))
    for name in by_remainder[: rest - sum(weights.values())]:
        weights[name] += 1
    return route.changed({**weights, to: percent})


_decoder: Final = msgspec.json.Decoder(Rollout)


def encode_rollout(rollout: Rollout) -> bytes:
    """Return the roll-out as JSON."""
    return msgspec.json.encode(rollout)


def decode_rollout(data: bytes) -> Rollout:
    """Read a roll-out; CodecError when it is damaged or too large."""
    if len(data) > MAX_BYTES:
        msg = f"a stored roll-out has {len(data)} bytes, more than {MAX_BYTES}"
        raise CodecError(msg)
    try:
        rollout = _decoder.decode(data)
        for runs in (rollout.before, rollout.runs, rollout.was):
            Route(rollout.plan.queue, runs, rollout.by)
    except (msgspec.MsgspecError, ValueError) as error:
        msg = f"a stored roll-out is damaged: {error}"
        raise CodecError(msg) from error
    if not (0 <= rollout.step < len(rollout.plan.steps) and 0 <= rollout.looked_ms <= LAST_MS):
        msg = "a stored roll-out is damaged: the step or the instant cannot be"
        raise CodecError(msg)
    return rollout
