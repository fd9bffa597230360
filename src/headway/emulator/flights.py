"""The deliveries that are under way, and when each has to have ended."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from headway.emulator.lanes import Lane
    from headway.emulator.model import Task

_SLACK: Final = 64


class Flight:
    """One delivery under way. A copy is the second delivery of a duplicate: only its success counts."""

    __slots__ = ("copy", "job", "lane", "number", "task")

    def __init__(self, task: Task, lane: Lane, *, copy: bool) -> None:
        self.task = task  # as it was before this dispatch
        self.lane = lane
        self.copy = copy
        self.number = -1  # given by `Flights`
        self.job: asyncio.Task[None] | None = None


class Flights:
    """Those under way. Of others nothing is kept: a deadline can be half an hour ahead, and a body a megabyte."""

    def __init__(self) -> None:
        """None is."""
        self._flights: dict[int, Flight] = {}
        self._deadlines: list[tuple[int, int]] = []
        self._order = count()

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._flights)

    def jobs(self) -> set[asyncio.Task[None]]:
        """Return what carries them out."""
        return {flight.job for flight in self._flights.values() if flight.job is not None}

    def add(self, flight: Flight, deadline_ms: int) -> None:
        """Let one begin that has to end by `deadline_ms`."""
        flight.number = next(self._order)
        self._flights[flight.number] = flight
        if len(self._deadlines) > 2 * len(self._flights) + _SLACK:
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._flights]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (deadline_ms, flight.number))

    def end(self, flight: Flight) -> bool:
        """Take one out; false when it is not under way any more, as its deadline has passed."""
        return self._flights.pop(flight.number, None) is not None

    def overdue(self, now_ms: int) -> list[Flight]:
        """Take out those whose deadlines have passed."""
        found: list[Flight] = []
        while self._deadlines and self._deadlines[0][0] <= now_ms:
            flight = self._flights.pop(heapq.heappop(self._deadlines)[1], None)
            if flight is not None:
                found.append(flight)
        return found

    def next_ms(self) -> int | None:
        """Return the next deadline; None when nothing is under way."""
        while self._deadlines and self._deadlines[0][1] not in self._flights:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def clear(self) -> None:
        """Take no more account of any."""
        self._flights.clear()
