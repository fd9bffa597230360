"""Whole carriers, and what each of them can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, structs

from headway.brokers.base.broker import Broker
from headway.brokers.base.inspect import Inspector, ScheduleStore
from headway.brokers.base.optional import (
    BlockingStore,
    Connected,
    ControlStore,
    FiguresStore,
    KeyIndex,
    Mover,
    Starter,
)
from headway.brokers.base.pull import PullBroker
from headway.brokers.base.push import PushBroker

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Capabilities(Struct, frozen=True):
    """What a carrier can do; what it cannot fails at declaration or enqueue, never when the job runs.

    Each part that is optional is here, typed, or None where the carrier has none: nobody looks for methods elsewhere.
    """

    name: str
    max_delay_ms: int | None = None  # the horizon of delayed jobs; None: no limit
    max_wait_ms: int | None = None  # behind its due time; then the carrier drops a job. None: it never does
    max_payload: int = 512 * 1024 * 1024  # bytes of an encoded payload
    priority: bool = True
    unique: bool = True
    cancel_running: bool = True
    fifo: bool = True  # first in, first out per queue and priority at concurrency 1
    events: bool = True  # `Inspector.events` streams what happens
    atomic: bool = True  # `enqueue` accepts all jobs of a call or none; False: each by itself
    reuse_ids: bool = True  # the id of a removed job may be enqueued again
    by_end: bool = True  # lists jobs of one terminal state by their ends, the last one first; False: by id
    cap_succeeded: bool = True  # drops the oldest completed jobs beyond `Retention.max_succeeded`
    one_store: bool = (
        True  # all jobs are in one place; else keys hold within a queue, bounds within each part
    )
    pull: Carrier | None = None  # workers claim its jobs
    push: PushCarrier | None = None  # it sends them to a receiver
    blocking: BlockingStore | None = None
    starter: Starter | None = None
    connected: Connected | None = None
    keys: KeyIndex | None = None
    mover: Mover | None = None
    control: ControlStore | None = None
    figures: FiguresStore | None = None

    def parts_of(self, wrapper: Carrier) -> Capabilities:
        """Return those of a carrier that passes its calls on to one with these, and has no other part of its own."""
        return structs.replace(
            self,
            pull=None if self.pull is None else wrapper,
            push=None,
            blocking=None,
            starter=None,
            connected=None,
            keys=None,
            mover=None,
            control=None,
            figures=None,
        )


class Store(Broker, Inspector, ScheduleStore, Protocol):
    """What every whole carrier offers, pulled or pushed. An async context manager that opens and closes."""

    @property
    def capabilities(self) -> Capabilities:
        """What this carrier can do."""
        ...

    async def __aenter__(self) -> Self:
        """Open."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        ...


class Carrier(Store, PullBroker, Protocol):
    """A carrier with workers, whole."""


class PushCarrier(Store, PushBroker, Protocol):
    """A carrier that pushes, whole."""
