"""Roll-outs: looked at, begun, paused, resumed, promoted, aborted."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

from msgspec import Struct, to_builtins

from headway.clock import from_ms
from headway.errors import ConfigError
from headway.routing.keeping import read_listed, read_rollout
from headway.routing.leaving import check_leaving
from headway.routing.rollout import asking
from headway.routing.rollout.asking import RolloutError
from headway.routing.rollout.plan import parse_plan
from headway.routing.rollout.rollout import Status
from headway.routing.steering import ask, begin
from headway.server.instants import Instant
from headway.server.services.problems import CannotError, ConflictError, InvalidError, NotFoundError
from headway.server.services.queues import checked_queue
from headway.server.services.shared import check_everything, check_queue, control_of

if TYPE_CHECKING:
    import builtins  # in Rollouts `list` is a method

    from headway.routing.keeping import StoredRollout
    from headway.routing.rollout.rollout import Decision, Rollout
    from headway.routing.routes import Route
    from headway.server.access.caller import Caller
    from headway.server.services.routes import Routes
    from headway.server.services.shared import Shared


class RolloutAct(StrEnum):
    """What people ask of a roll-out."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


class DecisionView(Struct, frozen=True, kw_only=True):
    """What was decided at one look, and the measurements that it rests on."""

    number: int
    at: Instant
    act: str
    reason: str
    text: str
    percent: int
    who: str
    judgements: list[dict[str, Any]]


class RolloutView(Struct, frozen=True, kw_only=True):
    """A roll-out of one queue to another carrier."""

    queue: str
    to: str
    status: Status
    percent: int
    step: int
    steps: tuple[int, ...]
    started_at: Instant
    looked_at: Instant
    by_hand: bool
    decision: DecisionView


class Begin(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A roll-out to begin; the settings are those of `headway rollout start`, durations and rates as texts."""

    to: str
    steps: list[int] | None = None
    every: str | None = None
    delay: str | None = None
    stand: str | None = None
    max_error_rate: str | None = None
    max_p95: str | None = None
    max_queue_latency: str | None = None
    max_backlog: int | None = None
    min_jobs: int | None = None
    waiting: str | None = None
    reason: str = ""


class Rollouts:
    """The roll-outs of an app."""

    def __init__(self, shared: Shared, routes: Routes) -> None:
        self._shared = shared
        self._routes = routes

    async def list(self, caller: Caller) -> list[RolloutView]:
        """Return the roll-outs that are under way, by queue."""
        control = self._shared.control
        if control is None:
            return []
        listed = await read_listed(control)
        found = [await read_rollout(control, one) for one in listed.queues if caller.scope.has_queue(one)]
        return [rollout_view(one) for one in found if one is not None]

    async def get(self, caller: Caller, queue: str) -> RolloutView:
        """Return the last roll-out of a queue; NotFoundError."""
        return rollout_view(await self._stored(caller, queue))

    async def history(self, caller: Caller, queue: str) -> builtins.list[DecisionView]:
        """Return the decisions of the last roll-out of a queue, the first one first; NotFoundError."""
        return [decision_view(one) for one in (await self._stored(caller, queue)).decisions]

    async def begin(self, caller: Caller, queue: str, wish: Begin) -> RolloutView:
        """Begin one. InvalidError names what is wrong; ConflictError when one is under way; CannotError."""
        check_everything(caller, "roll-outs")
        checked_queue(queue)
        control = control_of(self._shared)
        if self._shared.figures is None:
            msg = "no carrier of this app keeps figures, by which a roll-out is judged"
            raise CannotError(msg)
        given = {
            name: value for name, value in to_builtins(wish).items() if value is not None and name != "reason"
        }
        try:
            plan = parse_plan(queue, given, f"roll-out of {queue}")
            check_leaving(plan, self._shared.carriers)
            begun = await begin(
                control,
                self._routes.declared,
                plan,
                self._shared.app.clock,
                who=caller.who,
                reason=wish.reason,
            )
        except RolloutError as error:
            raise ConflictError(str(error)) from error
        except ConfigError as error:
            raise InvalidError(str(error)) from error
        await self._shared.audit.note(
            caller,
            "rollouts.begin",
            f"roll-out of {queue}",
            after={"to": begun.plan.to, "percent": begun.percent},
        )
        return await self.get(caller, queue)

    async def act(self, caller: Caller, queue: str, act: RolloutAct, reason: str = "") -> RolloutView:
        """Pause, resume, promote or abort it. NotFoundError; ConflictError when it cannot in its present state."""
        check_everything(caller, "roll-outs")
        before = await self.get(caller, queue)
        control = control_of(self._shared)

        def wish(rollout: Rollout, route: Route, now_ms: int) -> tuple[Rollout, Decision]:
            match act:
                case RolloutAct.PAUSE:
                    return asking.pause(rollout, now_ms, caller.who)
                case RolloutAct.RESUME:
                    return asking.resume(rollout, route, now_ms, caller.who)
                case RolloutAct.PROMOTE:
                    return asking.promote(rollout, now_ms, caller.who)
                case RolloutAct.ABORT:
                    return asking.abort(rollout, route, now_ms, caller.who)
                case _:
                    assert_never(act)

        try:
            await ask(
                control,
                self._routes.declared,
                queue,
                wish,
                self._shared.app.clock,
                who=caller.who,
                reason=reason,
            )
        except RolloutError as error:
            raise ConflictError(str(error)) from error
        after = await self.get(caller, queue)
        await self._shared.audit.note(
            caller,
            f"rollouts.{act}",
            f"roll-out of {queue}",
            before={"status": before.status, "percent": before.percent},
            after={"status": after.status, "percent": after.percent, "reason": reason},
        )
        return after

    async def _stored(self, caller: Caller, queue: str) -> StoredRollout:
        check_queue(caller, checked_queue(queue))
        control = self._shared.control
        stored = None if control is None else await read_rollout(control, queue)
        if stored is None:
            msg = f"queue {queue!r} has had no roll-out"
            raise NotFoundError(msg)
        return stored


def decision_view(made: Decision) -> DecisionView:
    """Return a decision as others see it."""
    return DecisionView(
        number=made.number,
        at=from_ms(made.at_ms),
        act=str(made.act),
        reason=str(made.reason),
        text=made.text,
        percent=made.percent,
        who=made.who,
        judgements=[to_builtins(one) for one in made.judgements],
    )


def rollout_view(stored: StoredRollout) -> RolloutView:
    """Return a roll-out as others see it."""
    rollout = stored.rollout
    return RolloutView(
        queue=rollout.plan.queue,
        to=rollout.plan.to,
        status=rollout.status,
        percent=rollout.percent,
        step=rollout.step + 1,
        steps=rollout.plan.steps,
        started_at=from_ms(rollout.started_ms),
        looked_at=from_ms(rollout.looked_ms),
        by_hand=rollout.by_hand,
        decision=decision_view(rollout.decision),
    )
