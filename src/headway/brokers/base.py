"""The protocols between Headway and its carriers; nothing else.

One file, and a long one: a driver is written against the whole of it, and against nothing besides.

Batches everywhere; no client object, key or SQL crosses this line. Instants and durations are whole milliseconds.
Two decisions of this interface are argued in `docs/explanation/design.md`:

- A lease is held by *worker*: one heartbeat keeps all that a worker holds, and the epoch of each job is the fence.
- `tend` takes the jobs of dead workers back to the head of their queue under the next epoch, with one crash more; the
  policy (poison cap, retries) runs in the executor of whoever claims them next.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import force_setattr

from headway.config import Settings
from headway.job import Delivery, Fire, JobId, JobRecord, JobState, Lease, NewJob, Outcome, WorkerId
from headway.text import MAX_LINE, real, storable

if TYPE_CHECKING:
    import asyncio
    import builtins  # in Inspector `list` is a method
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from headway.control import ControlDocument, Fence
    from headway.events import Event


class Capabilities(Struct, frozen=True):
    """What a carrier can do; what it cannot fails at declaration or enqueue, never when the job runs."""

    name: str
    max_delay_ms: int | None = None  # the horizon of delayed jobs; None: no limit
    max_wait_ms: int | None = None  # behind its due time; then the carrier drops a job. None: it never does
    max_payload: int = 512 * 1024 * 1024  # bytes of an encoded payload
    priority: bool = True
    unique: bool = True
    cancel_running: bool = True
    fifo: bool = True  # first in, first out per queue and priority at concurrency 1
    pull: bool = True  # workers claim its jobs; False: it pushes them to a receiver
    events: bool = True  # `Inspector.events` streams what happens
    atomic: bool = True  # `enqueue` accepts all jobs of a call or none; False: each by itself
    reuse_ids: bool = True  # the id of a removed job may be enqueued again
    by_end: bool = True  # lists jobs of one terminal state by their ends, the last one first; False: by id
    cap_succeeded: bool = True  # drops the oldest completed jobs beyond `Retention.max_succeeded`
    control: bool = True  # keeps control documents: it is a `ControlStore`


class Retention(Struct, frozen=True):
    """How long completed jobs are kept. No cap on failed ones: the dead-letter state drops nothing before its time."""

    succeeded_ms: int = 24 * 3600 * 1000
    failed_ms: int = 7 * 24 * 3600 * 1000
    max_succeeded: int = (
        100_000  # of succeeded, cancelled and expired jobs; those of the last minute are kept in any case
    )


class BrokerSettings(Struct, frozen=True):
    """What a driver is opened with, beside its URL."""

    namespace: str  # the app's name: apps with different names never see each other's jobs
    retention: Retention = Retention()
    record_events: bool = False  # keep events also while nobody watches
    max_log_lines: int = 1000  # kept per job
    timeout_ms: int = 600_000  # the time limit of a job whose call and task name none
    timeouts: dict[str, int] = {}  # the same by task, in ms, as far as tasks are declared here
    options: Settings = Settings()  # those of the app: each driver reads its own among them


class Enqueued(Struct, frozen=True):
    """The answer to one NewJob: its id, or the job that was there first (same key, unique key or fire time)."""

    id: JobId
    duplicate_of: JobId | None = None


class CancelResult(Struct, frozen=True):
    """The job's state after the request: a waiting one is cancelled, a running one still runs; None: unknown."""

    id: JobId
    state: JobState | None


class QueueWant(Struct, frozen=True):
    """At most `limit` jobs of this queue. Wants are served in their order."""

    queue: str
    limit: int


class Claimed(Struct, frozen=True):
    """Deliveries, and in how many ms to come back at the latest; None: only a wake-up can bring work.

    A duration, because the clocks of carrier and worker may differ.
    """

    deliveries: list[Delivery]
    next_in_ms: int | None = None


class Settlement(Struct, frozen=True):
    """The outcome of a delivery, under its lease."""

    lease: Lease
    outcome: Outcome


class SettleResult(Struct, frozen=True):
    """`applied` is false when the epoch was stale (superseded): nothing was changed."""

    job_id: JobId
    applied: bool


class Heartbeat(Struct, frozen=True):
    """`held` is false when the lease ran out and the worker's jobs were taken back (or it holds none)."""

    worker: WorkerId
    held: bool


class CancelRequested(Struct, frozen=True):
    """Somebody asked to cancel a job that this worker runs."""

    job_id: JobId


class LeaseLost(Struct, frozen=True):
    """The worker's lease ran out; whatever it still runs is already someone else's."""


class Wake(Struct, frozen=True):
    """There may be work: claim. Sent to one idle worker for each enqueue that it could serve."""


class Handed(Struct, frozen=True):
    """A job, leased to this worker already: it comes instead of a Wake when a lone job was enqueued."""

    delivery: Delivery


Signal = CancelRequested | Handed | LeaseLost | Wake


class Progress(Struct, frozen=True):
    """`fraction` from 0 to 1, and a short text. Values of other libraries' types become plain ones; TypeError."""

    fraction: float
    message: str = ""

    def __post_init__(self) -> None:
        """Make them plain: what one report holds must not concern those that travel with it."""
        fraction = real(self.fraction)
        if not math.isfinite(fraction):
            msg = f"progress must be a finite number, got {fraction}"
            raise ValueError(msg)
        force_setattr(self, "fraction", fraction)
        force_setattr(self, "message", storable(self.message))


class LogLine(Struct, frozen=True):
    """One line of a job's log."""

    at_ms: int
    level: str
    message: str

    def __post_init__(self) -> None:
        """Make the text such as every carrier can hold."""
        force_setattr(self, "level", storable(self.level))
        force_setattr(self, "message", storable(self.message, MAX_LINE))


class Report(Struct, frozen=True):
    """Progress or a log line of a running job; refused under a stale epoch."""

    lease: Lease
    content: Progress | LogLine


class Tended(Struct, frozen=True):
    """What one round of maintenance did, and in how many ms the next is due."""

    promoted: int = 0
    expired: int = 0
    reclaimed: int = 0
    pruned: int = 0
    next_in_ms: int | None = None
    mended: int = 0  # jobs that were known and stood nowhere, put back where they belong


class JobQuery(Struct, frozen=True):
    """Which jobs: all given conditions hold.

    `search` is a substring of the id, the task or the key, case-insensitive.
    """

    states: tuple[JobState, ...] = ()
    queues: tuple[str, ...] = ()
    task: str | None = None
    search: str | None = None


class JobPage(Struct, frozen=True):
    """Jobs in a stable order, and the cursor of the next page (None: that was the last one)."""

    jobs: list[JobRecord]
    cursor: str | None = None


class QueueCounts(Struct, frozen=True):
    """Jobs of one queue by state, and the instant (epoch ms) since which its oldest ready job waits."""

    queue: str
    paused: bool
    counts: dict[JobState, int]
    oldest_ready_ms: int | None = None


class WorkerRecord(Struct, frozen=True):
    """A worker: how many jobs it holds, and until when its lease on them runs.

    One that holds none is there as long as it listens for some. `queues` are those it asks for, `since_ms` is when
    it began, as far as the carrier knows.
    """

    id: WorkerId
    lease_until_ms: int | None
    holds: int
    queues: tuple[str, ...] = ()
    since_ms: int | None = None


class ScheduleRecord(Struct, frozen=True):
    """A schedule as the carrier keeps it.

    `spec` is the text of its declaration, `last_fire_ms` the last fire time accepted.
    """

    name: str
    spec: str
    task: str
    paused: bool = False
    last_fire_ms: int | None = None
    declared_ms: int = 0


class Broker(Protocol):
    """Every carrier. Raises BrokerUnavailableError or BrokerRefusedError from each call."""

    @property
    def capabilities(self) -> Capabilities:
        """What this carrier can do."""
        ...

    async def open(self) -> None:
        """Connect; create what is missing. Opening an open broker does nothing."""
        ...

    async def close(self) -> None:
        """Release every connection. Closing a closed broker does nothing."""
        ...

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        """Accept the jobs durably, in their order. Repeating a call with the same ids adds nothing.

        All or none; a carrier whose capabilities say `atomic=False` raises PartlyAcceptedError when it accepted some.
        """
        ...

    async def cancel(self, ids: Sequence[JobId], reason: str = "") -> list[CancelResult]:
        """Cancel waiting jobs at once and ask the workers of running ones (signal CancelRequested)."""
        ...

    async def wait_finished(self, job_id: JobId, timeout_ms: int | None) -> JobRecord | None:
        """Wait until the job is terminal; return its record then, or as it is when the time is over; None: unknown."""
        ...


class PullBroker(Broker, Protocol):
    """A carrier whose jobs are claimed by workers."""

    async def claim(
        self, wants: Sequence[QueueWant], *, worker: WorkerId, limit: int, lease_ms: int
    ) -> Claimed:
        """Hand out ready jobs (due ones are promoted first) under leases of `worker`, without waiting.

        When nothing was there, the worker is remembered as idle for these queues: the next job for one of them sends it
        one Wake through `signals`. Taken jobs keep or start the worker's lease of `lease_ms`. A claim of nothing
        (`limit` 0) says that it has no place left: it is woken no more, and another is in its stead.
        """
        ...

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> list[Heartbeat]:
        """Extend all that these workers hold to `lease_ms` from now. Never revives a lease that was lost."""
        ...

    async def settle(self, items: Sequence[Settlement]) -> list[SettleResult]:
        """Apply each outcome whose lease is held under its epoch; refuse the others.

        Repeating a settle is harmless: superseded.
        """
        ...

    async def surrender(
        self, worker: WorkerId, *, started: Sequence[JobId] | None, forget: bool = True
    ) -> int:
        """Take back at once all that a dead worker holds, to the head of its queues; return how many.

        Those in `started` (None: all) count one crash more. `forget`: the worker is gone for good.
        """
        ...

    async def report(self, reports: Sequence[Report]) -> list[SettleResult]:
        """Record progress and log lines of running jobs, fenced like settle."""
        ...

    async def tend(self) -> Tended:
        """Promote due jobs, expire, take back the jobs of dead workers, prune old records.

        Idempotent; any worker may do it.
        """
        ...

    def signals(self, worker: WorkerId, *, handed: bool = False) -> AsyncIterator[Signal]:
        """Yield what concerns this worker until closed. Sends one Wake at the start and after each reconnection.

        `handed`: the carrier may send a lone job itself where it would send a Wake. The worker claims again after each
        Handed: the carrier learns from that call that it arrived.
        """
        ...


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
    """What the sender is answered: only 2xx ends a task, anything else brings it back."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


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


@runtime_checkable
class Lender(Protocol):
    """A carrier that takes jobs from blocking callers without a turn of its loop."""

    def lend(self) -> None:
        """Allow it, on the loop's thread; where the loop's own connection serves, until its next call."""
        ...

    def enqueue_lent(self, job: NewJob) -> bool:
        """Accept the job, from any thread; false when it is to be enqueued as usual, as the same job."""
        ...


@runtime_checkable
class Connected(Protocol):
    """A carrier at the other end of a connection, which repeats calls for seconds before it gives one up."""

    @property
    def trouble(self) -> str:
        """What has kept it from being reached for some seconds; empty: nothing that is known."""
        ...


@runtime_checkable
class Starter(Protocol):
    """A carrier that can send jobs on their way before anything is awaited."""

    def begin_enqueue(self, jobs: Sequence[NewJob]) -> asyncio.Future[list[Enqueued] | None] | None:
        """Send the jobs, if that can be done at once.

        When it returns None, or the future gives it, they are to be enqueued as usual, as the same jobs.
        """
        ...


@runtime_checkable
class KeyIndex(Protocol):
    """Asks who holds what makes jobs one of a kind, so that it holds over several carriers of an app as well.

    A unique key stands in the way of a job by the job's mode: always while its holder waits or runs (`reject`,
    `keep_last`), while the holder waits (`debounce`), or within the window (`throttle`).
    """

    async def find_held(self, jobs: Sequence[NewJob]) -> list[JobId | None]:
        """Return for each job the id of the one that stands in its way here; None: nothing does. Changes nothing.

        That is the holder of its idempotency key, or of its unique key, or the job of the last fire time accepted of
        its schedule when its own is not later. It is the job's own id where that was accepted here before, or where
        nobody knows which job the fire was.
        """
        ...

    async def enqueue_held(self, jobs: Sequence[NewJob]) -> list[Enqueued | None]:
        """As `enqueue`, but leave out (None) each job whose unique key stands in no one's way here; in one step.

        So a carrier to which no route leads any more gets no new holders, and once a key is free there it stays free.
        Each job must have a unique key; ValueError.
        """
        ...


class Inspector(Protocol):
    """What the CLI, the API and the dashboard ask of a carrier."""

    async def get(self, ids: Sequence[JobId]) -> builtins.list[JobRecord | None]:
        """Return the records, in the order of the ids."""
        ...

    async def logs(self, job_id: JobId) -> builtins.list[LogLine]:
        """Return the job's log, oldest line first."""
        ...

    async def list(self, query: JobQuery, *, after: str | None = None, limit: int = 100) -> JobPage:
        """List matching jobs; `after` is the cursor of the page before."""
        ...

    async def counts(self, queues: Sequence[str] | None = None) -> builtins.list[QueueCounts]:
        """Count by state, for these queues or for all that hold a job or are paused, sorted by name."""
        ...

    async def pause(self, queue: str) -> None:
        """Hand out no more jobs of this queue; running ones go on, new ones are accepted."""
        ...

    async def resume(self, queue: str) -> None:
        """Hand out jobs of this queue again."""
        ...

    async def paused(self) -> frozenset[str]:
        """Return the paused queues."""
        ...

    async def remove(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Forget jobs that are not running, with all that belongs to them; tell for each whether it was removed."""
        ...

    async def retry(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Give failed, cancelled or expired jobs a new life, ready and with fresh attempts; tell which were."""
        ...

    async def promote(self, ids: Sequence[JobId]) -> builtins.list[bool]:
        """Make scheduled jobs ready now; tell for each whether it was scheduled."""
        ...

    async def drain(self, queue: str) -> int:
        """Remove all waiting (ready and scheduled) jobs of the queue; return how many."""
        ...

    async def clean(
        self, state: JobState, *, older_than_ms: int, queue: str | None = None, limit: int = 10_000
    ) -> int:
        """Remove completed jobs of a terminal state that finished more than `older_than_ms` ago; return how many."""
        ...

    async def workers(self) -> builtins.list[WorkerRecord]:
        """Return the workers that hold jobs, and those that listen for some, sorted by name."""
        ...

    def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """Yield events from now on, or those behind the cursor `after` that are still kept, until closed."""
        ...


class ScheduleStore(Protocol):
    """Where the schedules of an app are known, so that any process can pause one."""

    async def declare_schedules(self, schedules: Sequence[ScheduleRecord], /) -> None:
        """Make these known and forget all others; `paused` and `last_fire_ms` of known ones stay."""
        ...

    async def schedules(self) -> list[ScheduleRecord]:
        """Return all, sorted by name."""
        ...

    async def pause_schedule(self, name: str, *, paused: bool) -> bool:
        """Pause or resume; false when there is no such schedule."""
        ...

    async def skip_fire(self, fire: Fire) -> None:
        """Mark the fire time as done without a job (while paused, or skipped by the catch-up policy)."""
        ...


@runtime_checkable
class ControlStore(Protocol):
    """Where an app keeps the documents by which it is steered, such as its routes: small, versioned, by name.

    Names have 1 to 200 characters that can be printed; ConfigError.
    """

    async def read_control(self, name: str, *, newer_than: int = 0) -> ControlDocument | None:
        """Return the present version, unless it is `newer_than`, the one that the reader has; None: nothing to read.

        One cheap command. A lower version than the reader's is returned as well: the store was emptied, or restored
        from an earlier state.
        """
        ...

    async def write_control(
        self, name: str, body: bytes, *, expected: int, fence: Fence | None = None
    ) -> int | None:
        """Write the version that follows on `expected` (0: there is no document yet), and return its number.

        None, and nothing is written: another version is there, or `fence` is stale. The last 100 versions are kept.
        A body has at most 256 KiB; BrokerRefusedError names the document. The fence may be that of another name.
        """
        ...

    async def control_history(self, name: str, limit: int = 100) -> list[ControlDocument]:
        """Return the last versions, the present one first."""
        ...

    async def hold_control(self, name: str, holder: str, ttl_ms: int) -> Fence | None:
        """Take a lease of `ttl_ms` by the store's clock; the same holder extends it. None: somebody else has it.

        A lease that ended is taken anew, under a higher token, also by the holder that had it.
        """
        ...

    async def release_control(self, fence: Fence) -> None:
        """End the lease at once; nothing happens when the fence is stale."""
        ...


@runtime_checkable
class ControlNotifier(Protocol):
    """A control store that tells of changes; of the others it is asked from time to time."""

    def control_changes(self) -> AsyncIterator[str]:
        """Yield the name of each document that is written, until closed.

        An empty name says that some may have been missed: at the beginning, and after a connection was lost.
        """
        ...


class Store(Broker, Inspector, ScheduleStore, Protocol):
    """What every whole carrier offers, pulled or pushed. An async context manager that opens and closes."""

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
