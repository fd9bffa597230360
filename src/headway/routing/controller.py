"""The controller of roll-outs: any number of them may run, one at a time does the next step, and any may be killed.

A look reads the roll-out, the routes and the figures, decides, writes the roll-out, and then the route if there is one
to be set: each under the version that was read and under a lease of the control store. What a controller that was
killed did not do is decided again at the next look, by whoever makes it.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final

import msgspec

from headway.errors import (
    BrokerError,
    BrokerUnavailableError,
    CodecError,
    ConfigError,
    HeadwayError,
    UnsupportedError,
)
from headway.figures.values import COARSE_MINUTES, MINUTE_MS
from headway.job import JobState
from headway.routing.changing import RoutesBusyError, read_routes
from headway.routing.keeping import (
    change_listed,
    document_of,
    read_listed,
    read_rollout,
    set_route,
    write_rollout,
)
from headway.routing.leaving import leave
from headway.routing.rollout.asking import RolloutError
from headway.routing.rollout.campaign import Campaign, moved_on
from headway.routing.rollout.deciding import Look, Measured, decide, notable
from headway.routing.rollout.rollout import Act, Reason
from headway.routing.rollout.sides import sides_of
from headway.routing.steering import begin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headway.brokers.base import ControlStore, FiguresStore, Store
    from headway.clock import Clock
    from headway.control import Fence
    from headway.routing.declared import Declared
    from headway.routing.keeping import Listed, StoredRollout
    from headway.routing.rollout.plan import Plan
    from headway.routing.rollout.rollout import Decision, Rollout
    from headway.service import Remarks

    Told = Callable[[Rollout, Decision], None]

LEASE_MS: Final = 20_000
"""How long the others wait for a controller that was killed: more than a change of routes takes to settle."""
LOOK: Final = 3.0
"""Seconds from one look to the next; while there is a roll-out to look at, workers write figures every 2 s."""
IDLE: Final = 15.0
"""Seconds until somebody looks whether there is a roll-out, where there was none."""
_SHORTEST: Final = 0.25  # seconds, for steps of seconds
_COARSE_MS: Final = COARSE_MINUTES * MINUTE_MS

_log: Final = logging.getLogger("headway.rollout")


class Controller:
    """Does the next steps of all roll-outs of an app, look by look."""

    def __init__(
        self,
        carriers: Mapping[str, Store],
        declared: Declared,
        control: ControlStore,
        figures: FiguresStore,
        clock: Clock,
        *,
        holder: str,
        remarks: Remarks | None = None,
        told: Told | None = None,
    ) -> None:
        """`holder` names this controller and no other one. `told` is called with each decision that is news."""
        self._carriers = carriers
        self._declared = declared
        self._control = control
        self._figures = figures
        self._clock = clock
        self._holder = holder
        self._remarks = remarks
        self._told = told
        self._fences: dict[str, Fence] = {}
        self.active = False
        """Whether a roll-out was under way at the last look."""

    async def round(self) -> float:
        """Look at each roll-out that is under way; return the seconds until the next time.

        What is wrong with one keeps none of the others; BrokerUnavailableError when the control store is away.
        """
        listed = await read_listed(self._control)
        self.active = listed.active
        if not self.active:
            return IDLE * random.uniform(0.8, 1.2)  # noqa: S311 - spread
        pause = LOOK
        for queue in listed.queues:
            try:
                plan = await self._one(queue)
            except BrokerUnavailableError:
                raise
            except HeadwayError as error:
                self._remark(queue, str(error))
            else:
                self._remark(queue, "")
                if plan is not None:
                    pause = min(pause, max(_SHORTEST, plan.every_ms / 4000))
        if listed.campaign is not None and listed.campaign.plan is not None:
            await self._go_on(listed, listed.campaign, listed.campaign.plan)
        return pause

    async def finish(self) -> None:
        """Give the leases back, so that others need not wait for their end."""
        while self._fences:
            _, fence = self._fences.popitem()
            try:
                await self._control.release_control(fence)
            except BrokerError:
                return  # it ends by itself

    async def step(self, queue: str) -> Decision | None:
        """Make one look at the roll-out of a queue; None when somebody else makes them, or there is none."""
        made = None
        fence = await self._control.hold_control(document_of(queue), self._holder, LEASE_MS)
        if fence is None:
            self._fences.pop(queue, None)
            return None
        self._fences[queue] = fence
        stored = await read_rollout(self._control, queue)
        if stored is not None:
            made = await self._looked(stored, fence)
        if stored is None or (
            made is not None and made.reason is Reason.OVER and await self._left(stored.rollout)
        ):
            await self._strike(queue)
        return made

    async def _one(self, queue: str) -> Plan | None:
        await self.step(queue)
        stored = await read_rollout(self._control, queue)
        return None if stored is None else stored.rollout.plan

    async def _looked(self, stored: StoredRollout, fence: Fence) -> Decision | None:
        earlier, queue = stored.rollout, stored.rollout.plan.queue
        routes = await read_routes(self._control, self._clock)
        measured = None if earlier.status.over else await self._measured(earlier, stored.now_ms)
        # A carrier that is drained meanwhile is a route that people changed: the roll-out pauses and says so.
        route = self._declared.working(routes.table, queue)
        rollout, made = decide(earlier, Look(route, measured), stored.now_ms)
        news = made.reason is not Reason.OVER and notable(earlier.decision, made)
        if rollout != earlier:
            decisions = (*stored.decisions, made) if news else stored.decisions
            if not await write_rollout(
                self._control, rollout, decisions, expected=stored.version, fence=fence
            ):
                return None  # people were first, or the lease is somebody else's now: the next look sees it
        if news:
            self._tell(rollout, made)
        if made.route:
            try:
                await set_route(
                    self._control, self._declared, rollout, made, self._clock, who=self._holder, fence=fence
                )
            except RoutesBusyError as error:
                _log.warning("roll-out of %s: %s; tried again", queue, error)
        return made

    def _tell(self, rollout: Rollout, made: Decision) -> None:
        plan = rollout.plan
        bad = made.act is Act.ROLL_BACK or made.reason in {Reason.BY_HAND, Reason.UNREADABLE}
        _log.log(
            logging.WARNING if bad else logging.INFO,
            "roll-out of %s to %s: %s: %s%s",
            plan.queue,
            plan.to,
            made.act,
            made.reason,
            f": {made.text}" if made.text else "",
        )
        if self._told is not None:
            self._told(rollout, made)

    async def _measured(self, rollout: Rollout, now_ms: int) -> Measured | None:
        """Return the figures at this look; None when they cannot be read."""
        plan = rollout.plan
        # Half hours: they are kept for 30 days, and totals of a fixed beginning must not lose their oldest minutes.
        since_ms = rollout.started_ms - rollout.started_ms % _COARSE_MS
        try:
            found = await self._figures.figures(since_ms, now_ms + _COARSE_MS, queue=plan.queue, coarse=True)
            backlog, oldest_ms = await self._waiting(plan, now_ms)
        except (BrokerError, CodecError, TimeoutError) as error:
            self._remark(f"figures of {plan.queue}", f"they cannot be read: {error}")
            return None
        self._remark(f"figures of {plan.queue}", "")
        return Measured(sides_of(found, plan, since_ms // MINUTE_MS), backlog, oldest_ms)

    async def _waiting(self, plan: Plan, now_ms: int) -> tuple[int | None, int | None]:
        """Return how many due jobs wait on the new side, and for how long the oldest has."""
        carrier = self._carriers.get(plan.to)
        if carrier is None:
            return None, None
        try:
            counts = await carrier.counts([plan.queue])
        except UnsupportedError:
            return None, None
        except BrokerError as error:
            # The new side may be away: what was counted of its jobs is judged all the same.
            self._remark(f"backlog of {plan.queue}", f"{plan.to} cannot tell it: {error}")
            return None, None
        self._remark(f"backlog of {plan.queue}", "")
        here = next((one for one in counts if one.queue == plan.queue), None)
        if here is None:
            return 0, None
        oldest = here.oldest_ready_ms
        return here.counts.get(JobState.READY, 0), None if oldest is None else max(0, now_ms - oldest)

    async def _left(self, rollout: Rollout) -> bool:
        """Do what is to be done with jobs that wait on the side that was left; tell whether all is done."""
        if rollout.plan.waiting == "run":
            return True
        if (await read_routes(self._control, self._clock)).unsettled > 0:
            return False  # some producers may still give it jobs
        done = await leave(rollout, self._carriers)
        if done:
            _log.info("roll-out of %s: %s", rollout.plan.queue, done)
        return True

    async def _strike(self, queue: str) -> None:
        """Take a queue whose roll-out is over from the list, and give its lease back."""
        await change_listed(self._control, lambda listed: listed.without(queue))
        stored = await read_rollout(self._control, queue)
        if stored is not None and not stored.rollout.status.over:  # another one was begun meanwhile
            await change_listed(self._control, lambda listed: listed.including(queue))
        fence = self._fences.pop(queue, None)
        if fence is not None:
            await self._control.release_control(fence)

    async def _go_on(self, listed: Listed, campaign: Campaign, plan: Plan) -> None:
        """Do what the plan file has next: wait for the present roll-out, begin the next one, or stop."""
        stored = await read_rollout(self._control, plan.queue)
        if stored is not None:
            rollout = stored.rollout
            if rollout.plan == plan and rollout.started_ms >= listed.began_ms:
                await self._write_campaign(listed, campaign, moved_on(campaign, rollout))
                return
            if not rollout.status.over:
                return  # one that was begun beside the plan file: its end is awaited
        try:
            await begin(self._control, self._declared, plan, self._clock, who=self._holder)
        except RolloutError:
            return  # somebody else was first
        except ConfigError as error:
            after = Campaign(campaign.plans, campaign.done, f"{plan.queue} cannot begin: {error}")
            await self._write_campaign(listed, campaign, after)

    async def _write_campaign(self, listed: Listed, before: Campaign, after: Campaign) -> None:
        def edit(present: Listed) -> Listed:
            if (present.campaign, present.began_ms) != (before, listed.began_ms):
                return present
            return msgspec.structs.replace(present, campaign=after)

        if after != before:
            await change_listed(self._control, edit)

    def _remark(self, entry: str, what: str) -> None:
        if self._remarks is None:
            return
        if what:
            self._remarks.say(entry, f"roll-out: {what}")
        else:
            self._remarks.well(entry)
