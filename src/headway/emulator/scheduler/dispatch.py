"""Runs each scheduled job when it is due, and decides by the answer when it runs next."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from headway.emulator.answers import DEADLINE, UNREACHABLE, Verdict, verdict_of
from headway.emulator.credentials import Credentials
from headway.emulator.driven import AGAIN_MS, Driven
from headway.emulator.faults import Copy, Dice, Faults
from headway.emulator.scheduler.calls import call_for
from headway.emulator.scheduler.entries import Outcome
from headway.emulator.scheduler.turns import after_failure, first_turn, next_fire, started
from headway.emulator.target import HttpAnswer

if TYPE_CHECKING:
    from headway.clock import Clock
    from headway.emulator.dispatch import Deliver
    from headway.emulator.scheduler.entries import Entries, Entry
    from headway.emulator.scheduler.turns import Turn
    from headway.emulator.target import HttpCall

_log: Final = logging.getLogger("headway.emulator")


@dataclass(slots=True, eq=False)
class _Flight:
    """One attempt under way. Without a turn it was asked for by hand, and moves nothing."""

    entry: Entry
    call: HttpCall
    turn: Turn | None
    started_ms: int
    verdict: Verdict = DEADLINE
    """What has become of it by now: the deadline may come before an answer, or after the first of two."""

    @property
    def deadline_ms(self) -> int:
        return self.started_ms + self.call.timeout_ms


class SchedulerDispatcher(Driven):
    """Drives the jobs by its clock: by hand with `turn`, or in the background with `run`.

    At least once: an attempt that was under way when the emulator died is made again. A job never runs beside itself
    unless it is run by hand.
    """

    def __init__(
        self,
        entries: Entries,
        clock: Clock,
        deliver: Deliver,
        *,
        credentials: Credentials | None = None,
        dice: Dice | None = None,
        pubsub_host: str | None = None,
    ) -> None:
        super().__init__(clock, "emulator: Cloud Scheduler")
        self._entries = entries
        self._deliver = deliver
        self._credentials = credentials or Credentials()
        self._dice = dice or Dice(Faults())
        self._pubsub_host = pubsub_host
        self._flights: dict[_Flight, asyncio.Task[None]] = {}
        self._running: set[int] = set()  # by incarnation
        self._delayed: set[tuple[int, int]] = set()
        self._aside: dict[
            str, int
        ] = {}  # jobs on which we failed ourselves, and when they are looked at again

    def changed(self, name: str) -> None:
        """Look again at what is due: a job was made, changed or resumed."""
        self._aside.pop(name, None)
        self._wake.set()

    def run_now(self, entry: Entry) -> None:
        """Run a job by hand, whatever its schedule and state, also beside itself.

        It carries the time of the *next* run of the schedule, which then comes a second time: the service does this,
        and a handler that takes the header for an identity loses a run.
        """
        following = first_turn(entry.schedule, self._clock.now_ms())
        self._launch(entry, following.fire_ms, 1, None)

    def dispatch_due(self) -> int:
        """Begin all attempts that are due, end those past their deadline; return how many were begun."""
        if not self._entries.writable:
            return 0
        now = self._clock.now_ms()
        self._expire(now)
        due = [entry for entry in self._waiting() if self._due_ms(entry) <= now]
        return sum(self._try(entry, now) for entry in sorted(due, key=lambda entry: entry.turn.due_ms))

    def next_ms(self) -> int | None:
        """Return the instant at which there is something to do next; None when nothing is planned."""
        instants = [self._due_ms(entry) for entry in self._waiting()]
        instants += [flight.deadline_ms for flight in self._flights]
        return min(instants, default=None)

    def _jobs(self) -> list[asyncio.Task[None]]:
        return list(self._flights.values())

    def _forget_jobs(self) -> None:
        self._flights.clear()

    def _waiting(self) -> list[Entry]:
        # A journal that cannot be written stops everything: nothing is planned then.
        if not self._entries.writable:
            return []
        return [
            entry
            for entry in self._entries.all()
            if not entry.paused and entry.incarnation not in self._running
        ]

    def _due_ms(self, entry: Entry) -> int:
        return max(entry.turn.due_ms, self._aside.get(entry.name, 0))

    def _try(self, entry: Entry, now_ms: int) -> bool:
        self._aside[entry.name] = now_ms + AGAIN_MS  # unless it begins
        begun = False
        with self._remarks.passing_over(f"job {entry.name}", "passed over for a minute"):
            begun = self._begin(entry, now_ms)
            del self._aside[entry.name]
        return begun

    def _begin(self, entry: Entry, now_ms: int) -> bool:
        attempt = (entry.incarnation, entry.turn.due_ms)
        if attempt not in self._delayed and (late := self._dice.delay_ms()):
            moved = replace(entry.turn, due_ms=entry.turn.due_ms + late)
            self._delayed.add((entry.incarnation, moved.due_ms))
            self._entries.put(replace(entry, turn=moved))
            return False
        self._delayed.discard(attempt)
        turn = started(entry.turn, now_ms)
        self._launch(entry, turn.fire_ms, turn.attempts, turn)
        self._running.add(entry.incarnation)
        self._entries.put(replace(entry, turn=turn))
        return True

    def _launch(self, entry: Entry, fire_ms: int, attempt: int, turn: Turn | None) -> None:
        now = self._clock.now_ms()
        call = call_for(
            entry.definition,
            fire_ms,
            attempt,
            now_ms=now,
            credentials=self._credentials,
            pubsub_host=self._pubsub_host,
        )
        flight = _Flight(entry, call, turn, now)
        self._flights[flight] = asyncio.get_running_loop().create_task(self._fly(flight))
        self._wake.set()

    async def _fly(self, flight: _Flight) -> None:
        again = self._dice.copy() is not Copy.NONE
        flight.verdict = await self._attempt(flight.call)
        if again:
            # The first answer counts; the second delivery is what the target has to bear.
            await self._attempt(flight.call)
        if self._flights.pop(flight, None) is not None:
            self._land(flight)

    async def _attempt(self, call: HttpCall) -> Verdict:
        if self._dice.target_refused():
            return verdict_of(HttpAnswer(503))
        try:
            answer = await self._deliver(call)
        except TimeoutError:
            return DEADLINE  # as `_expire` would say, which is on its way with the same deadline
        except Exception:  # noqa: BLE001 - injected: whatever it raises, the attempt has failed
            _log.exception("scheduled job %s: the transport failed", call.task)
            return UNREACHABLE
        if answer is None or self._dice.target_lost():
            return UNREACHABLE
        return verdict_of(answer)

    def _expire(self, now_ms: int) -> None:
        for flight in [flight for flight in self._flights if flight.deadline_ms <= now_ms]:
            self._flights.pop(flight).cancel()
            self._land(flight)

    def _land(self, flight: _Flight) -> None:
        """Take an attempt's end into account, as far as the job still is what it was."""
        if flight.turn is not None:
            self._running.discard(flight.entry.incarnation)
        self._wake.set()
        entry = self._entries.get(flight.entry.name)
        if entry is None or entry.incarnation != flight.entry.incarnation:
            return
        now = self._clock.now_ms()
        self._aside[entry.name] = now + AGAIN_MS  # unless its answer can be accounted for
        with self._remarks.passing_over(f"the answer to job {entry.name}", "it runs again in a minute"):
            self._account(flight, entry, now)
            del self._aside[entry.name]

    def _account(self, flight: _Flight, entry: Entry, now: int) -> None:
        verdict = flight.verdict
        outcome = Outcome(flight.started_ms, int(verdict.code), verdict.message)
        turn = entry.turn
        if flight.turn is not None and turn == flight.turn:
            turn = (
                next_fire(entry.schedule, turn, now)
                if verdict.success
                else after_failure(entry.schedule, turn, entry.backoff, now)
            )
        self._entries.put(replace(entry, outcome=outcome, turn=turn))
