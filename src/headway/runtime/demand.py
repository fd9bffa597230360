"""What a worker asks for next, and how much of it: pure decisions, apart from the loop that makes the calls."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Final

from headway.brokers.base import QueueWant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_PREFETCH: Final = 480  # jobs: with these a claim of no-ops costs the carrier some milliseconds
_PREFETCH_SECONDS: Final = 0.02  # of work held in advance: a round trip to a carrier and some noise
_WINDOW_SECONDS: Final = 0.05


class Demand:
    """How many jobs of which queues a worker wants now."""

    patience: float | None = None
    """Seconds after which a lane that found no room looks again although nothing changed; None: it need not."""

    def __init__(
        self,
        queues: Sequence[str],
        concurrency: int,
        *,
        limits: Mapping[str, int] | None = None,
        weights: Mapping[str, int] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.concurrency = concurrency
        self._queues = list(queues)
        self.limits = dict(limits or {})
        self._weights = [(weights or {}).get(queue, 1) for queue in self._queues]
        self._weighted = len(set(self._weights)) > 1
        self._held: Counter[str] = Counter()
        self.held = 0
        self.reserved = 0  # of these by claims that are under way, where several lanes share the places
        self.backlog = 0  # of how many lanes the last claim was answered in full: there may be more
        self._rate = 0.0  # jobs that end here in a second, smoothed
        self._ended = 0  # in the present window
        self._window_began = 0.0
        self._rng = rng or random.Random()  # noqa: S311 - fairness, not a secret

    @property
    def prefetch(self) -> int:
        """How many jobs to hold beyond the running ones: what ends here within a round trip to the carrier.

        Only while there is a backlog: a lone job belongs to a worker that has a place for it. As many for each lane
        that has one: their claims would be half as large else, and twice as many.
        """
        if not self.backlog:
            return 0
        return min(_MAX_PREFETCH, int(self._rate * _PREFETCH_SECONDS)) * self.backlog

    def claimed(self, room: int, count: int) -> None:
        """Learn that a claim of `room` jobs was answered with `count`."""
        self.backlog = count >= room > 0

    def failed(self) -> bool:
        """Learn that a claim failed; true: the carrier is asked for nothing until it answers such a claim."""
        return False

    def none(self) -> int:
        """Return 0: the lane takes no jobs now."""
        return 0

    def leave(self) -> None:
        """Learn that its lane is about to leave the idle list of its carrier."""

    def reserve(self, room: int, wants: Sequence[QueueWant]) -> None:
        """Count what a claim asks for as held, while it is under way."""
        self._reserve(room, wants, 1)

    def release(self, room: int, wants: Sequence[QueueWant]) -> None:
        """Take back what `reserve` did."""
        self._reserve(room, wants, -1)

    def _reserve(self, room: int, wants: Sequence[QueueWant], sign: int) -> None:
        self.held += sign * room
        self.reserved += sign * room
        for want in wants:
            if want.queue in self.limits:
                self._held[want.queue] += sign * want.limit

    def take(self, queue: str) -> None:
        """Count a job as held."""
        self._held[queue] += 1
        self.held += 1

    def give(self, queue: str) -> None:
        """Count a job as no longer held."""
        self._held[queue] -= 1
        self.held -= 1

    def ended(self, seconds: float, now: float) -> None:
        """Learn from a job that took so long and ended at `now` (time.monotonic()).

        What counts is how many end in a second, whatever they share (a processor, a lock). A long one counts at once:
        prefetched jobs must not wait behind long ones.
        """
        self._ended += 1
        elapsed = now - self._window_began
        if elapsed >= _WINDOW_SECONDS:
            self._rate = (self._rate + self._ended / elapsed) / 2
            self._ended = 0
            self._window_began = now
        if seconds > _PREFETCH_SECONDS:
            self._rate = min(self._rate, self.concurrency / seconds)

    def room(self) -> int:
        """How many jobs to claim now; 0 while so few places are free that it pays to wait for more."""
        prefetch = self.prefetch
        free = self.concurrency + prefetch - self.held
        return free if free >= max(1, prefetch // 2) else 0

    def wants(self, room: int) -> list[QueueWant]:
        """Queues in the order of this claim: at random, the heavier ones first more often, so that none starves."""
        queues = self._order()
        if not self.limits:
            return [QueueWant(queue, room) for queue in queues]
        wants: list[QueueWant] = []
        for queue in queues:
            limit = self.limits.get(queue)
            free = room if limit is None else min(room, limit - self._held[queue])
            if free > 0:
                wants.append(QueueWant(queue, free))
        return wants

    def free(self, queue: str) -> int | None:
        """How many more jobs of a queue its limit allows; None: it has none."""
        limit = self.limits.get(queue)
        return None if limit is None else max(0, limit - self._held[queue])

    def _order(self) -> list[str]:
        if self._weighted:
            # Efraimidis and Spirakis, 2006: keys u^(1/w) order a weighted random sample.
            keyed = [
                (self._rng.random() ** (1 / w), q) for q, w in zip(self._queues, self._weights, strict=True)
            ]
            return [queue for _, queue in sorted(keyed, reverse=True)]
        start = self._rng.randrange(len(self._queues)) if len(self._queues) > 1 else 0
        return self._queues[start:] + self._queues[:start]
