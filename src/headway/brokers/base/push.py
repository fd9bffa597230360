"""Carriers that send their jobs to a receiver."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from headway.brokers.base.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base.reports import Report, SettleResult
    from headway.job import Delivery, Lease, Outcome, WorkerId


class LeaseState(StrEnum):
    """What became of a lease that its holder asked to extend."""

    HELD = "held"
    LOST = "lost"  # it ran out and somebody else took the job over, or settled it
    CANCEL_REQUESTED = "cancel_requested"  # held, and somebody asked to cancel the job


class BodySums(Protocol):
    """What proves a body, made while it comes in: of one that is too long, nothing else is kept."""

    def update(self, part: bytes, /) -> None:
        """Take the next part of the body."""
        ...


class PushRequest(Struct, frozen=True):
    """An HTTP request as it came in. Header names are in lower case; the body is whole, or `sums` are of all of it."""

    headers: dict[str, str]
    body: bytes
    sums: BodySums | None = None


class PushResponse(Struct, frozen=True):
    """What the sender is answered: only 2xx ends a task, anything else brings it back.

    `superseded`: the outcome came too late, its lease had passed to somebody else.
    """

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""
    superseded: bool = False


class FireCall(Struct, frozen=True):
    """A scheduler outside called: it is time to look which fire times of this schedule are due.

    `at_ms` is the fire time that it named, if any. It is a hint: a run by hand may carry the next run's time.
    """

    schedule: str
    at_ms: int | None = None


class GuardStats(Struct, frozen=True):
    """What the guard came to in this process: outcomes kept, commands to its store, outcomes that came late."""

    jobs: int = 0
    commands: int = 0
    superseded: int = 0

    @property
    def commands_per_job(self) -> float:
        """The mean; 0 before the first job."""
        return self.commands / self.jobs if self.jobs else 0.0


class PushBroker(Broker, Protocol):
    """A carrier that sends its jobs to a receiver."""

    async def prepare_receiving(self) -> None:
        """Connect what receiving needs beyond enqueueing; ConfigError names a setting that is missing for it.

        A receiver may do without: the first `receive` does the same.
        """
        ...

    async def admit(self, headers: Mapping[str, str]) -> PushResponse | None:
        """Judge by the headers alone whether the body is worth reading; a response refuses the sender.

        This proves nobody: `receive` verifies the whole request. Raises as `receive` does.
        """
        ...

    def sums(self, headers: Mapping[str, str]) -> BodySums | None:
        """Return what a body that is cut off is proven by; None: bodies have no part in the proof of this sender."""
        ...

    async def receive(
        self,
        request: PushRequest,
        *,
        worker: WorkerId,
        lease_ms: int,
        queues: frozenset[str] = frozenset(),
    ) -> Delivery | FireCall | PushResponse:
        """Verify who sends, read the job and take its lease; a response when there is nothing to run.

        The only way to a Delivery: one that was not verified cannot be had. Of `queues` alone unless they are empty: a
        proven sender's job of another queue is answered 404. Never raises for what a sender did; raises
        BrokerUnavailableError when the guard cannot be asked.
        """
        ...

    async def answer(self, delivery: Delivery, outcome: Outcome) -> PushResponse:
        """Settle under the delivery's epoch, plan what follows (a retry), and say what the sender is answered."""
        ...

    async def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[LeaseState]:
        """Extend each lease to `lease_ms` from now. Never revives one that somebody else took over."""
        ...

    async def report(self, reports: Sequence[Report]) -> list[SettleResult]:
        """Record progress and log lines of running jobs, fenced like an outcome."""
        ...

    def guard_stats(self) -> GuardStats:
        """Return what the guard came to in this process so far, for a log line or a metric; asks nobody."""
        ...
