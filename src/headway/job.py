"""What a job is: its id, its states and their transitions, and the outcomes of running it."""

from __future__ import annotations

import os
import threading
import time
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final, NewType, cast
from zlib import crc32

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

JobId = NewType("JobId", str)
WorkerId = NewType("WorkerId", str)

SHADOW_TASK: Final = "shadow-of-"
"""How the names of tasks begin whose jobs are copies, see `headway.routing.shadow`: no task may be called so."""
SHADOW_QUEUE: Final = "headway-shadows"
"""The queue of all copies of an app."""
PRIORITY_MIN: Final = 0
PRIORITY_MAX: Final = 9
PRIORITY_DEFAULT: Final = 5


class JobState(StrEnum):
    """Where a job is in its life; `docs/explanation/states.md` draws it."""

    SCHEDULED = "scheduled"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the dead-letter state: kept until retried by hand, removed or pruned
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        """True when a job in this state has completed and will not run again on its own."""
        return self in _TERMINAL


_TERMINAL: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})

TRANSITIONS: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.SCHEDULED: frozenset({JobState.READY, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.READY: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.EXPIRED}),
    JobState.RUNNING: frozenset(
        {
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.EXPIRED,
            JobState.SCHEDULED,  # a retry
            JobState.READY,  # a release or a reclaim, under the next epoch
        }
    ),
    # By hand only: `retry` gives a completed job a new life with fresh attempts.
    JobState.FAILED: frozenset({JobState.READY}),
    JobState.CANCELLED: frozenset({JobState.READY}),
    JobState.EXPIRED: frozenset({JobState.READY}),
    JobState.SUCCEEDED: frozenset(),
}
"""The states a job may enter from each state."""


class UniqueMode(StrEnum):
    """What happens to a new job while another one holds the same unique key."""

    REJECT = "reject"  # the new one is refused while the holder waits or runs
    THROTTLE = "throttle"  # the new one is refused until the window after the holder's enqueue has passed
    DEBOUNCE = "debounce"  # the new one replaces a holder that still waits
    KEEP_LAST = "keep_last"  # like debounce, and while one runs the last arrival waits for its end

    @property
    def refuses(self) -> bool:
        """True when the new one goes, false when the holder does."""
        return self in {UniqueMode.REJECT, UniqueMode.THROTTLE}


class UniqueLock(Struct, frozen=True):
    """A unique key with its mode. `window_ms` bounds throttle; the other modes hold it until the job completes."""

    key: str
    mode: UniqueMode
    window_ms: int = 0


class Fire(Struct, frozen=True):
    """One fire time of a schedule: accepted only when later than the last one accepted (promise 6)."""

    schedule: str
    at_ms: int


class Past(Struct, frozen=True, gc=False):
    """What a job went through before it comes to a carrier: moved from another one, or brought along by a migration.

    `attempt` counts the starts that it has used up, `crashes` those that ended with the death of their worker;
    `history` holds the errors of its attempts, encoded. Leases here are under higher epochs than `epoch`.
    """

    attempt: int = 0
    crashes: int = 0
    history: bytes = b""
    epoch: int = 0


# Structs without gc: no field of theirs can lead back to them, and the collector need not look at thousands of them.
class NewJob(Struct, frozen=True, gc=False):
    """A job on its way to a carrier.

    Instants are milliseconds since 1970 UTC; `payload` is an envelope of the codec.
    """

    id: JobId
    task: str
    queue: str
    payload: bytes
    priority: int = PRIORITY_DEFAULT
    due_ms: int | None = None
    expires_ms: int | None = None
    key: str | None = None
    unique: UniqueLock | None = None
    fire: Fire | None = None
    headers: dict[str, str] | None = None  # a route may go by one; carriers keep them in the payload
    past: Past | None = None

    @property
    def named(self) -> bool:
        """True when a job accepted earlier can stand in its way: by its key, its unique key or its fire time."""
        return self.key is not None or self.unique is not None or self.fire is not None


def check_unique(jobs: Sequence[NewJob]) -> list[NewJob]:
    """Return the jobs; ValueError names one that has no unique key, where only such are meant."""
    for job in jobs:
        if job.unique is None:
            msg = f"job {job.id} of task {job.task!r} has no unique key"
            raise ValueError(msg)
    return list(jobs)


class Lease(Struct, frozen=True, gc=False):
    """The fence: a settlement is applied only while this worker holds the job under this very epoch."""

    job_id: JobId
    worker: WorkerId
    epoch: int


class AttemptError(Struct, frozen=True, omit_defaults=True):
    """How one attempt ended when it did not succeed. `type` is the exception's qualified name."""

    attempt: int
    at_ms: int
    type: str
    message: str = ""
    traceback: str = ""


class Delivery(Struct, frozen=True, gc=False):
    """A job handed to a worker under a lease.

    `attempt` counts starts from 1; `crashes` counts those that ended with the death of their worker. `history` holds
    the errors of earlier attempts, encoded, oldest first, bounded by the executor.
    """

    lease: Lease
    task: str
    queue: str
    payload: bytes
    priority: int
    attempt: int
    crashes: int
    expires_ms: int | None = None
    history: bytes = b""
    cancel_requested: bool = False
    due_ms: int | None = None  # when it was to start, where that was asked for or a retry set it


class Succeeded(Struct, frozen=True, gc=False, tag=True):
    """The handler returned; `result` is an envelope of the codec, empty for None."""

    result: bytes = b""


class RetryAt(Struct, frozen=True, gc=False, tag=True):
    """Run again at `at_ms`.

    `counted` is false when the handler asked for it (RetryLater): the attempt is not used up.
    """

    at_ms: int
    history: bytes = b""
    counted: bool = True


class Failed(Struct, frozen=True, gc=False, tag=True):
    """To the dead-letter state, with the errors of all attempts."""

    history: bytes = b""


class Cancelled(Struct, frozen=True, gc=False, tag=True):
    """Ended on request, or discarded by its handler. Empty: the reason is the one that was given with the request."""

    reason: str = ""


class Expired(Struct, frozen=True, gc=False, tag=True):
    """Not started before its expiry."""


class Released(Struct, frozen=True, gc=False, tag=True):
    """Handed back unfinished, to be run again at once; the attempt is not used up."""


Outcome = Succeeded | RetryAt | Failed | Cancelled | Expired | Released


class JobRecord(Struct, frozen=True, kw_only=True):
    """All that a carrier knows of a job. Instants are milliseconds since 1970 UTC.

    `unique` is the unique key that it holds, or for which it waits. Of a job that was `withdrawn`, it and `key` are
    what it held until then: it ended here to go on elsewhere. `logged` is False where it is known to have no log.
    """

    id: JobId
    task: str
    queue: str
    state: JobState
    priority: int
    payload: bytes
    attempt: int = 0
    epoch: int = 0
    crashes: int = 0
    due_ms: int | None = None
    expires_ms: int | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    worker: WorkerId | None = None
    key: str | None = None
    result: bytes = b""
    history: bytes = b""
    reason: str = ""
    progress: float | None = None
    progress_message: str = ""
    cancel_requested: bool = False
    unique: UniqueLock | None = None
    withdrawn: bool = False
    logged: bool = True

    def as_new(self) -> NewJob:
        """Return the job as another carrier is to take it: under the same id, with the attempts that it has left.

        Under the next epoch, so that an earlier state of the job is told from this one.
        """
        return NewJob(
            id=self.id,
            task=self.task,
            queue=self.queue,
            payload=self.payload,
            priority=self.priority,
            due_ms=self.due_ms if self.state is JobState.SCHEDULED else None,
            expires_ms=self.expires_ms,
            key=self.key,
            unique=self.unique,
            past=Past(self.attempt, self.crashes, self.history, self.epoch + 1),
        )

    @property
    def enqueued_ms(self) -> int:
        """When the job's id was made."""
        return id_instant_ms(self.id)


_ALPHABET: Final = (
    "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as it counts, no look-alikes
)
ID_LENGTH: Final = 20
_RANDOM_BITS: Final = 52
_LOW_BITS: Final = 20  # the last four characters
_STEP: Final = 32  # no two ids of a process differ in the last character alone: it may say where the job is
_LOW_MAX: Final = (1 << _LOW_BITS) - 1
_HEAD_SHIFTS: Final = tuple(range(70, -1, -10))
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)


class _IdSource:
    """Ids of one process: sortable by time, and strictly increasing within the process.

    48 bits of milliseconds and 52 of a number that is random at each new millisecond and counts up within it, as in
    RFC 9562, 6.2, method 2. Two processes collide when they draw overlapping numbers in the same millisecond: about
    once in 10^11 milliseconds in which both make a hundred.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: a forked process that went on counting would repeat the ids of its parent."""
        self._lock = threading.Lock()
        self._instant = -1  # milliseconds
        self._high = 0  # the last id is high and low: 80 bits and 20
        self._low = 0
        self._head = ""  # the text of high, which hardly ever changes within a millisecond

    def next(self, mark: int = -1) -> str:
        with self._lock:
            instant = time.time_ns() // 1_000_000
            if instant > self._instant:
                # The top bit stays clear, so that counting up does not run over into the milliseconds.
                count = int.from_bytes(os.urandom(7)) >> 5
                self._instant = instant
                self._begin(instant << _RANDOM_BITS | count)
            elif self._low > _LOW_MAX - _STEP:
                self._begin((self._high + 1) << _LOW_BITS)
            else:
                self._low += _STEP
            low = self._low
            tail = low & 1023 if mark < 0 else low & 992 | mark
            return self._head + _PAIRS[low >> 10] + _PAIRS[tail]

    def _begin(self, value: int) -> None:
        self._high, self._low = value >> _LOW_BITS, value & _LOW_MAX
        self._head = "".join([_PAIRS[(self._high >> shift) & 1023] for shift in _HEAD_SHIFTS])


_ids = _IdSource()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.forget)
new_job_id = cast("Callable[[], JobId]", _ids.next)
"""Make an id: 20 characters of lower-case base 32, sortable by time."""


def marked_ids(mark: str) -> Callable[[], JobId]:
    """Return what makes ids that end in this mark: those that `new_job_id` makes as well, in one order with them."""
    return cast("Callable[[], JobId]", partial(_ids.next, _ALPHABET.index(mark)))


def is_job_id(text: object) -> bool:
    """Tell whether it is a text that has the form of a job id."""
    return isinstance(text, str) and len(text) == ID_LENGTH and not text.strip(_ALPHABET)


def mark_of(carrier: str) -> str:
    """Return the character in which the ids of jobs end that were sent to a carrier of this name.

    A hint, where the id alone is known: two names may have the same one, and a job may have been moved since.
    """
    return _ALPHABET[(crc32(carrier.encode()) >> 16) % len(_ALPHABET)]


def id_instant_ms(job_id: str) -> int:
    """When the id was made, in milliseconds since 1970 UTC; ValueError when it has not the form of an id."""
    if not is_job_id(job_id):
        msg = f"{job_id!r} is not a job id: {ID_LENGTH} characters of lower-case base 32"
        raise ValueError(msg)
    value = 0
    for character in job_id:
        value = value << 5 | _ALPHABET.index(character)
    return value >> _RANDOM_BITS
