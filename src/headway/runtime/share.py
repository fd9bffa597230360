"""How the lanes of a worker share its places: who may ask for how many, so that neither hoards and neither starves.

Only a worker with several carriers has shares; a lane that is alone has the demand for itself.

- Room is reserved before a claim, and what was not delivered is given back with the answer: two lanes never ask for the
  same place.
- While several lanes have jobs, each has an equal part of the places; the last odd one goes to the lane that was
  served longest ago. So at concurrency 1 they take turns.
- A carrier that does not answer keeps its reservation for a moment only, and is asked for nothing until it answers.
- A worker that stays full says so to every carrier (it leaves their idle lists), and hands back what waits here.
"""

from __future__ import annotations

import asyncio
import random
import time
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import QueueWant
    from headway.runtime.demand import Demand

_PATIENCE: Final = 0.25  # seconds that a claim may keep places which another lane could use
_FULL: Final = (
    0.05  # seconds without an end of a job, after which a full worker is offered none; short ones end before
)


class Places:
    """The places of one worker and its lanes' shares of them."""

    def __init__(self, demand: Demand, stay_full: Callable[[], None]) -> None:
        """`stay_full` is called when all places have been taken for a while."""
        self.demand = demand
        self.shares: list[Share] = []
        self.turns = count(1)
        self._stay_full = stay_full
        self._freed = 0
        self._telling = False
        self._watching = False
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random()  # noqa: S311 - fairness, not a secret

    def share(self, changed: Callable[[], None]) -> Share:
        """Return the share of one more lane; `changed` is called when there may be room for it."""
        share = Share(self, changed)
        self.shares.append(share)
        return share

    def tell(self) -> None:
        """Tell all lanes that places may be free; in any order, because the first may take what each wants."""
        for share in self._rng.sample(self.shares, len(self.shares)):
            share.changed()

    def freed(self, queue: str) -> None:
        """Note that a place is free; all lanes are called once in a turn of the loop.

        Where the queue has a limit, they are called at once and in any order: the first that asks gets the place, and
        it should not be the lane that gave it each time.
        """
        self._freed += 1
        if queue in self.demand.limits:
            self.tell()
        elif not self._telling:
            self._telling = True
            self._loop.call_soon(self._tell_soon)

    def _tell_soon(self) -> None:
        self._telling = False
        for share in self.shares:
            share.changed()

    def watch(self) -> None:
        """Begin to look whether all places stay taken."""
        if not self._watching and self.demand.held >= self.demand.concurrency:
            self._watching = True
            self._loop.call_later(_FULL, self._look, self._freed)

    def _look(self, freed: int) -> None:
        self._watching = False
        if self._freed != freed:
            self.watch()
        elif self.demand.held >= self.demand.concurrency:
            self._stay_full()


class Share:
    """One lane's part of the places: what it sees in place of the worker's demand."""

    def __init__(self, places: Places, changed: Callable[[], None]) -> None:
        """Made by `Places`."""
        self.changed = changed
        self.held = 0
        self.patience: float | None = None
        self._places = places
        self._demand = places.demand
        self._hungry = True  # it claims as soon as there is room
        self._silent = False  # its carrier does not answer
        self._full_answer = False  # the last claim was answered in full
        self._turn = 0  # of the worker's claims that brought something, its last
        self._reserved: list[QueueWant] | None = None  # while a claim is under way
        self._room = 0
        self._asked_at = 0.0

    # The methods of `Demand`, for one lane.

    def room(self) -> int:
        """How many jobs to claim now, without the places that are due to other lanes."""
        if self._silent:
            return 0
        self._hungry = True
        now = time.monotonic()
        rivals = [one for one in self._places.shares if one is not self and one.rivals(now)]
        free = self._demand.room()
        # A lane that is denied a place which another has reserved asks again: that carrier may no longer answer.
        self.patience = _PATIENCE if free or self._demand.reserved else None
        if not rivals or not free:
            return free
        quota = -(-(self._demand.concurrency + self._demand.prefetch) // (len(rivals) + 1))
        due = sum(max(0, quota - one.taken) for one in rivals if one.before(self))
        return max(0, min(free - due, quota - self.held))

    def none(self) -> int:
        """Return 0: the lane takes no jobs now, and the others need not leave it places."""
        self._hungry = False
        return 0

    def leave(self) -> None:
        """Note that the lane is about to leave the idle list of its carrier, which may not answer."""
        self._hungry = False

    def wants(self, room: int) -> list[QueueWant]:
        """What to claim, reserved until `claimed` or `failed`."""
        wants = self._demand.wants(room)
        if wants:
            self._demand.reserve(room, wants)
            self._reserved, self._room, self._asked_at = wants, room, time.monotonic()
        else:
            self._hungry = False
        return wants

    def free(self, queue: str) -> int | None:
        """How many more jobs of a queue its limit allows, over all lanes; None: it has none."""
        now = time.monotonic()
        for one in self._places.shares:
            if one is not self:
                one.rivals(now)  # what a silent carrier keeps is free
        return self._demand.free(queue)

    def claimed(self, room: int, count: int) -> None:
        """Learn that a claim was answered; what was not delivered is there for the others."""
        self._release()
        self._silent = False
        self._full_answer = count >= room > 0
        if count:
            self._turn = next(self._places.turns)
        if room and not self._full_answer:
            self._hungry = False
        self._demand.backlog = sum(share.has_backlog for share in self._places.shares)
        self._places.tell()
        self._places.watch()

    def failed(self) -> bool:
        """Learn that a claim failed; true: the carrier is asked for nothing until it answers such a claim."""
        self._release()
        self._silent = True
        self._full_answer = False
        self._places.tell()
        return True

    def take(self, queue: str) -> None:
        """Count a job as held."""
        self.held += 1
        self._demand.take(queue)
        if self._reserved is None:  # handed over by the carrier
            self._places.watch()

    def give(self, queue: str) -> None:
        """Count a job as no longer held."""
        self.held -= 1
        self._demand.give(queue)
        self._places.freed(queue)

    def ended(self, seconds: float, now: float) -> None:
        """Learn from a job that has ended."""
        self._demand.ended(seconds, now)

    # What the shares ask of each other.

    @property
    def has_backlog(self) -> bool:
        """Whether more jobs wait there than it could take."""
        return self._full_answer

    @property
    def taken(self) -> int:
        """How many places it has, or has asked for."""
        return self.held + (0 if self._reserved is None else self._room)

    def rivals(self, now: float) -> bool:
        """Tell whether there may be jobs for it. A carrier that keeps places and does not answer gets none."""
        if self._reserved is not None and now - self._asked_at > _PATIENCE:
            self._release()
            self._silent = True
        return self._hungry and not self._silent

    def before(self, other: Share) -> bool:
        """Tell whether it is served before the other, when there is one place for both."""
        return self._turn < other._turn

    def _release(self) -> None:
        if self._reserved is not None:
            self._demand.release(self._room, self._reserved)
            self._reserved = None
