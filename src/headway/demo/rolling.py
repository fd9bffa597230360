"""One run of the demo of a roll-out: jobs flow, a fault on the new side rolls it back, mended it completes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from msgspec import Struct

from headway.app.rollouts import controller
from headway.config import MAIN
from headway.demo.app import FILES, MARKS, mark
from headway.demo.flow import Flow
from headway.demo.ledger import Ledger, draw_up
from headway.demo.push import emulating
from headway.demo.push_audit import Audit
from headway.demo.push_place import CLOUD
from headway.demo.push_receivers import Receiver
from headway.demo.rolling_app import FAULT, ROLLING_PATH, app
from headway.demo.rolling_curve import Moment, curve
from headway.demo.run import working
from headway.demo.store import Journal, all_records, count_states
from headway.errors import HeadwayError
from headway.job import mark_of
from headway.routing.changing import control_of, routes_history
from headway.routing.declared import Declared
from headway.routing.keeping import read_listed, read_rollout
from headway.routing.rollout.plan import Plan
from headway.routing.rollout.rollout import Act, Decision, Status
from headway.routing.steering import begin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.demo.push_place import PushPlace
    from headway.demo.watch import Watcher
    from headway.emulator.server import Emulator
    from headway.events import Event
    from headway.routing.controller import Controller
    from headway.routing.keeping import StoredRollout

    _Reached = Callable[[StoredRollout], bool]

STEPS: Final = (5, 25, 50, 100)
FAULT_AT: Final = 25  # percent
DECLARED: Final = Declared((MAIN, CLOUD))
PLAN: Final = Plan(
    queue=FILES,
    to=CLOUD,
    steps=STEPS,
    every_ms=4000,
    # As long as workers and receivers take to write their figures: those of the first roll-out do not count in the
    # second one.
    delay_ms=6500,
    max_error_rate=0.05,
    max_queue_latency_ms=30_000,
    min_jobs=10,
    tolerance=20.0,  # both sides share the cores of one laptop: which of them is slower is no news here
)
_WHO: Final = "demo"
_LOOK: Final = 0.25  # seconds
_LONGEST: Final = 80.0  # seconds of one roll-out, after which the run is given up
_STILL: Final = 60.0  # seconds for the last jobs


class Told(Struct, frozen=True):
    """One roll-out: how it ended, and its decisions with the figures that they rest on."""

    status: Status
    decisions: tuple[Decision, ...]


class RollingOutcome(Struct, frozen=True):
    """What came of a run. `ledger` is over both carriers: a job that ended on each of them completed twice."""

    ledger: Ledger
    carriers: dict[str, Ledger]
    rollouts: list[Told]
    moments: list[Moment]
    started_ms: int
    seconds: float

    @property
    def sound(self) -> bool:
        """Nothing was lost or completed twice, and the roll-outs ended as they should."""
        ended = [told.status for told in self.rollouts]
        return self.ledger.sound and ended == [Status.ROLLED_BACK, Status.COMPLETED]


async def run(place: PushPlace, seed: int, watcher: Watcher) -> RollingOutcome:
    """Run; HeadwayError when it cannot be finished."""
    began = time.monotonic()
    audit = Audit(place.guard_file)
    await audit.begin(place.place.broker.namespace)
    log = place.place.folder / "receivers.log"
    receiver = Receiver(log, place.files_port, FILES, app=ROLLING_PATH)
    async with emulating(place, seed) as emulator, app:
        journal = Journal(app.carriers[MAIN], MARKS, mark.job().new.payload)
        await journal.begin()
        async with working(1, ROLLING_PATH, (FILES,)), receiver:
            watcher.step(f"a worker serves {MAIN} (SQLite), a receiver {CLOUD} (the emulator of Cloud Tasks)")
            flow = Flow(seed, lambda: _done(audit))
            async with flow:
                start_ms = app.clock.now_ms()
                rollouts = await _roll_out(place, audit, flow, watcher)
            end_ms = app.clock.now_ms()
            watcher.step(f"{len(flow.accepted)} jobs were accepted meanwhile; the last of them are awaited")
            await _until_done(emulator, audit, len(flow.accepted))
        # Neither worker nor receiver lives any more: what the stores say now is final.
        events = {MAIN: await journal.read(), CLOUD: audit.events()}
        return await _account(flow, events, rollouts, (start_ms, end_ms), time.monotonic() - began)


async def _roll_out(place: PushPlace, audit: Audit, flow: Flow, watcher: Watcher) -> list[Told]:
    """Roll out with a fault, mend it, roll out again."""
    steps = _Steps(flow, watcher)
    fault = place.place.folder / FAULT
    watcher.step(f"the first roll-out of {FILES} to {CLOUD} begins")
    try:
        await steps.begin()
        at_fault = await steps.until(lambda stored: _in_force(stored) >= FAULT_AT)
        if not at_fault.rollout.status.over:
            fault.touch()
            watcher.step(f"a fault is injected at {_in_force(at_fault)} %: each attempt on {CLOUD} fails")
        first = await steps.until_over()
    finally:
        await steps.finish()
        fault.unlink(missing_ok=True)
    watcher.step("the fault is mended; what was refused is tried again")
    await _none_held(audit)
    watcher.step("the second roll-out begins")
    try:
        await steps.begin()
        second = await steps.until_over()
    finally:
        await steps.finish()
    return [Told(one.rollout.status, one.decisions) for one in (first, second)]


def _in_force(stored: StoredRollout) -> int:
    """Return the share of the new side that is known to be in force."""
    return 0 if stored.rollout.unconfirmed else stored.rollout.percent


class _Steps:
    """Does the steps of the roll-outs, beside the workers, who do them as well."""

    def __init__(self, flow: Flow, watcher: Watcher) -> None:
        self._flow = flow
        self._watcher = watcher
        self._control = control_of(app.carriers)
        self._controller = _controller()
        self._shown = 0
        self._began = 0.0

    async def begin(self) -> None:
        """Begin one, with the first step's route."""
        await begin(self._control, DECLARED, PLAN, app.clock, who=_WHO)
        self._shown, self._began = 0, time.monotonic()

    async def until_over(self) -> StoredRollout:
        """Go on until it is over, its route is in force, and it is on the list no more."""
        stored = await self.until(lambda stored: stored.rollout.status.over)
        while FILES in (await read_listed(self._control)).queues:
            await asyncio.sleep(_LOOK)
            stored = await self._step()
        return stored

    async def until(self, reached: _Reached) -> StoredRollout:
        """Go on until it has got there, or is over."""
        stored = await self._step()
        while not (reached(stored) or stored.rollout.status.over):
            await asyncio.sleep(_LOOK)
            stored = await self._step()
        return stored

    async def _step(self) -> StoredRollout:
        await self._controller.round()
        self._flow.check()
        stored = await read_rollout(self._control, FILES)
        if stored is None:
            msg = "the roll-out is not in the control store any more"
            raise HeadwayError(msg)
        self._show(stored.decisions)
        if time.monotonic() - self._began > _LONGEST:
            last = stored.rollout.decision
            msg = f"a roll-out took more than {_LONGEST:g} s; its last decision: {last.reason}: {last.text}"
            raise HeadwayError(msg)
        return stored

    async def finish(self) -> None:
        """Give the leases back."""
        await self._controller.finish()

    def _show(self, decisions: Sequence[Decision]) -> None:
        for made in decisions:
            if made.number > self._shown:
                self._shown = made.number
                if made.act is not Act.HOLD:
                    self._watcher.step(f"{made.act}, {made.reason}: {made.text}")


def _controller() -> Controller:
    made = controller(app.carriers, app.settings, app.clock, holder=f"{_WHO} {uuid4().hex[:8]}")
    if made is None:
        msg = "the demo's carriers keep no routes and figures"
        raise HeadwayError(msg)
    return made


async def _done(audit: Audit) -> int:
    """Return how many jobs have completed, on both sides."""
    pushed = await asyncio.to_thread(audit.counts)
    pulled = await count_states(app.carriers[MAIN])
    return sum(count for (_, state), count in pushed.items() if state.terminal) + sum(
        count for state, count in pulled.items() if state.terminal
    )


async def _none_held(audit: Audit) -> None:
    """Wait until no job of the new side has its next attempt before it; HeadwayError when that takes too long."""
    deadline = time.monotonic() + _STILL
    while any(not state.terminal for _, state in await asyncio.to_thread(audit.counts)):
        if time.monotonic() > deadline:
            msg = f"jobs that had failed on {CLOUD} did not complete within {_STILL:g} s of the mending"
            raise HeadwayError(msg)
        await asyncio.sleep(_LOOK)


async def _until_done(emulator: Emulator, audit: Audit, total: int) -> None:
    """Wait until each job has completed and no task is on its way; what is late is seen in the account."""
    deadline = time.monotonic() + _STILL
    while time.monotonic() < deadline:
        waiting = sum(len(emulator.store.tasks(queue.name)) for queue in emulator.store.queues())
        if not waiting and not emulator.dispatcher.flying and await _done(audit) >= total:
            return
        await asyncio.sleep(_LOOK)


async def _account(
    flow: Flow,
    events: dict[str, list[Event]],
    rollouts: list[Told],
    span_ms: tuple[int, int],
    seconds: float,
) -> RollingOutcome:
    records = {name: await all_records(carrier) for name, carrier in app.carriers.items()}
    control = control_of(app.carriers)
    weights = [
        (table.when_ms, DECLARED.route(table, FILES).weights.get(CLOUD, 0))
        for table in await routes_history(control)
    ]
    return RollingOutcome(
        draw_up(
            flow.accepted,
            [event for some in events.values() for event in some],
            [record for some in records.values() for record in some],
            measured=FILES,
        ),
        {
            name: draw_up(
                [one for one in flow.accepted if one[-1] == mark_of(name)],
                events[name],
                records[name],
                measured=FILES,
            )
            for name in records
        },
        rollouts,
        curve(weights, events, *span_ms),
        span_ms[0],
        round(seconds, 1),
    )
