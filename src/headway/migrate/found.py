"""What a source finds: jobs and repeating entries of another system, as plain data. Instants are ms since 1970 UTC.

Nothing in here is trusted: texts may be anything, numbers are those that somebody wrote. A source reads each job by
itself; one that cannot be read becomes a job with a `refusal`, and the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct


class FoundState(StrEnum):
    """Where a job is in the source. What a source does not tell apart it does not use."""

    WAITING = "waiting"
    PAUSED = "paused"  # waits, in a queue that is paused there
    PRIORITISED = "prioritised"  # waits in an order of its own
    DELAYED = "delayed"  # waits for its due time
    RETRYING = "retrying"  # waits for its next attempt; some have been made
    ACTIVE = "active"  # runs there, or is locked: never touched
    PARENT = "parent"  # waits for its children
    FAILED = "failed"  # has no attempts left; kept there
    COMPLETED = "completed"  # kept there for a while

    @property
    def waits(self) -> bool:
        """True when a worker of the source would run the job, now or at its due time."""
        return self in _WAITING


_WAITING = frozenset(
    {
        FoundState.WAITING,
        FoundState.PAUSED,
        FoundState.PRIORITISED,
        FoundState.DELAYED,
        FoundState.RETRYING,
    }
)
WAITING_STATES = tuple(sorted(_WAITING))
"""What `apply` brings along unless it is asked for more."""


class BackOff(Struct, frozen=True):
    """How the source waits between attempts. `kind` is its own word: `fixed`, `exponential`, or a custom one's name."""

    kind: str
    delay_ms: int = 0


class Dedup(Struct, frozen=True):
    """A deduplication of the source: what else comes under `key` is dropped there while it holds.

    `ttl_ms` 0: until the job has ended. `replace`: a newer one takes the place of one that waits (a debounce).
    """

    key: str
    ttl_ms: int = 0
    replace: bool = False


class FoundJob(Struct, frozen=True, kw_only=True):
    """One job of the source.

    `source_id` and `instant_ms` tell it from all other jobs of its queue, for ever: an id that is used again later
    comes with another instant. What the job is called with is `args` and `kwargs`, read into plain Python values; a
    source whose jobs carry one document gives it as the only one of `args`.

    `token` is the source's own: what must still be so when the job is taken (a digest of what was read, its place).
    """

    source_id: str
    queue: str
    state: FoundState
    instant_ms: int = 0  # when it was enqueued there
    name: str = ""  # of the job, or of the function that it calls
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    size: int = 0  # bytes of the arguments as they lie there
    refusal: str = (
        ""  # why it cannot be brought along, in words for its owner; then args and kwargs are empty
    )
    due_ms: int | None = None  # not before; None: at once
    expires_ms: int | None = None  # not started later than that
    priority: int = 0  # the source's own number
    attempts_made: int = 0
    attempts_allowed: int | None = None  # in all; None: the source does not say
    back_off: BackOff | None = None
    reasons: tuple[str, ...] = ()  # of failed attempts, the last one last, as far as they are kept
    key: str | None = None  # the id, where a user gave it: no second job under it is wanted
    dedup: Dedup | None = None
    last_in_first_out: bool = False
    progress: str = ""  # as JSON
    parent: str = (
        ""  # the id of the job that waits for this one, with its queue before it where that is another
    )
    children: tuple[str, ...] = ()  # those that this one waits for
    schedule: str = ""  # the repeating entry whose next job this is: it goes along with that, never alone
    finished_ms: int | None = None  # of completed and failed ones
    token: bytes = b""


class FoundSchedule(Struct, frozen=True, kw_only=True):
    """A repeating entry of the source. Either `cron` or `every_ms` says when."""

    source_id: str  # the source's key of it
    queue: str
    name: str = ""  # of the jobs that it makes
    cron: str = ""
    timezone: str = "UTC"
    every_ms: int = 0
    offset_ms: int = 0  # of the first fire within an interval, from 1970 on
    next_ms: int | None = None  # the next fire time
    start_ms: int | None = None  # no fire before
    end_ms: int | None = None  # no fire after
    limit: int | None = None  # fires in all
    fired: int = 0
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    priority: int = 0
    attempts_allowed: int | None = None
    back_off: BackOff | None = None
    refusal: str = ""
    token: bytes = b""
