"""An app's stores for roll-outs: two SQLite carriers, routes, and figures that a test adds; time passes by hand."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerUnavailableError
from headway.figures.gatherer import Delta
from headway.figures.histogram import Histogram
from headway.figures.values import MINUTE_MS, Counts, Figures, Row
from headway.routing.changing import control_of, read_routes
from headway.routing.controller import Controller
from headway.routing.declared import Declared
from headway.routing.keeping import StoredRollout, read_listed, read_rollout
from headway.routing.rollout.plan import Plan
from headway.routing.steering import ask, begin

if TYPE_CHECKING:
    from headway.brokers.base import ControlStore, FiguresStore
    from headway.brokers.sqlite.broker import SqliteBroker
    from headway.control import Fence
    from headway.routing.steering import Ask
    from headway.testing import FakeClock

QUEUE: Final = "mail"
PLAN: Final = Plan(queue=QUEUE, to="west", steps=(10, 50, 100), every_ms=20_000, delay_ms=5000, min_jobs=20, max_error_rate=0.05)  # fmt: skip
DECLARED: Final = Declared(("east", "west"))
BUCKET: Final = 26  # about 80 ms


class Killed(BaseException):
    """The end of a process, at this moment."""


class Mortal:
    """A control store whose caller is killed at one of its writes: before it, or when it is done."""

    def __init__(self, inner: ControlStore, at: int, *, done: bool) -> None:
        self._inner = inner
        self._left = at
        self._done = done
        self.writes = 0
        self.read_control = inner.read_control
        self.control_history = inner.control_history
        self.hold_control = inner.hold_control
        self.release_control = inner.release_control

    async def write_control(
        self, name: str, body: bytes, *, expected: int, fence: Fence | None = None, keep: int = 100
    ) -> int | None:
        self.writes += 1
        self._left -= 1
        if self._left == 0 and not self._done:
            raise Killed
        version = await self._inner.write_control(name, body, expected=expected, fence=fence, keep=keep)
        if self._left == 0:
            raise Killed
        return version


class Scene:
    """A queue on two carriers, of which `east` has all; each look lets five seconds pass, in which jobs end."""

    def __init__(self, east: SqliteBroker, west: SqliteBroker, clock: FakeClock) -> None:
        self.carriers = {"east": east, "west": west}
        self.clock = clock
        self.control = control_of(self.carriers)
        self.fails = 0.0  # share of failed attempts on the new side
        self.percents: list[int] = []  # of the new side, as they were in force
        self._number = 0

    @property
    def figures(self) -> FiguresStore:
        found = self.carriers["east"].capabilities.figures
        assert found is not None
        return found

    def controller(
        self,
        holder: str = "one",
        *,
        control: ControlStore | None = None,
        figures: FiguresStore | None = None,
    ) -> Controller:
        return Controller(
            self.carriers,
            DECLARED,
            control or self.control,
            figures or self.figures,
            self.clock,
            holder=holder,
        )

    async def begin(self, plan: Plan = PLAN) -> None:
        await begin(self.control, DECLARED, plan, self.clock, who="ann")
        await self.note()

    async def ask(self, wish: Ask) -> None:
        await ask(self.control, DECLARED, QUEUE, wish, self.clock, who="ann")

    async def stored(self) -> StoredRollout:
        found = await read_rollout(self.control, QUEUE)
        assert found is not None
        return found

    async def campaign(self) -> tuple[tuple[str, ...], int, str]:
        """Return the queues that are looked at, how many plans are done, and why none follows."""
        listed = await read_listed(self.control)
        assert listed.campaign is not None
        return listed.queues, listed.campaign.done, listed.campaign.stopped

    async def percent(self) -> int:
        table = (await read_routes(self.control, self.clock)).table
        return DECLARED.route(table, QUEUE).weights.get("west", 0)

    async def note(self) -> None:
        percent = await self.percent()
        if not self.percents or self.percents[-1] != percent:
            self.percents.append(percent)

    async def passing(self, jobs: int = 400) -> None:
        """Let five seconds pass in which so many jobs end, by the route in force."""
        self.clock.advance(5000)
        new = jobs * await self.percent() // 100
        failed = round(new * self.fails)
        rows = [self._row("east", jobs - new, 0), self._row("west", new - failed, failed)]
        self._number += 1
        await self.figures.add_figures(Delta("test", self._number, Figures(tuple(rows))))

    def _row(self, carrier: str, succeeded: int, failed: int) -> Row:
        ended = succeeded + failed
        times = Histogram(((BUCKET, ended),)) if ended else Histogram()
        counts = Counts(
            started=ended, succeeded=succeeded, failed=failed, dead=failed, latency=times, duration=times
        )
        return Row(self.clock.now_ms() // MINUTE_MS, QUEUE, "send", carrier, counts)

    async def looks(self, controller: Controller, most: int = 60) -> StoredRollout:
        """Look until the roll-out is over, or so many times."""
        for _ in range(most):
            await self.passing()
            await controller.round()
            await self.note()
            if (await self.stored()).rollout.status.over:
                break
        return await self.stored()


class AwayFigures:
    """Figures that cannot be read."""

    def __init__(self, inner: FiguresStore) -> None:
        self.add_figures = inner.add_figures
        self.figures = partial(self._away, inner)

    async def _away(self, *_: object, **__: object) -> Figures:
        msg = "cut"
        raise BrokerUnavailableError(msg)
