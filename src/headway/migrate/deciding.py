"""What becomes of one found job: a job of ours, checked as an enqueue would check it, or the reason why not."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, structs

from headway.app.options import JobOptions
from headway.codec import encode_history
from headway.errors import HeadwayError
from headway.job import AttemptError, NewJob, Past
from headway.migrate.found import FoundState
from headway.migrate.ids import job_id
from headway.migrate.mapping import Expiry, Ids, MappingError, Retries, mapped_by
from headway.names import MAX_KEY, valid_name
from headway.text import storable

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.app.task import Task
    from headway.migrate.found import FoundJob
    from headway.migrate.mapping import JobMap, Mapped, Rule

_MAX_REASON: Final = 500  # characters
_MAX_REASONS: Final = 10
_DIGEST: Final = 8  # bytes
_ENDED: Final = {
    FoundState.ACTIVE: "it runs there: its worker ends it, or it is picked up when it waits again",
    FoundState.PARENT: "it waits for its children there: until Headway has flows it stays",
    FoundState.COMPLETED: "it has ended there",
}


class Intent(Struct, frozen=True, array_like=True):
    """What is to be enqueued for a job, all but its id; kept in the ledger until that has happened."""

    carrier: str
    task: str
    queue: str
    payload: bytes
    priority: int
    due_ms: int | None = None
    expires_ms: int | None = None
    key: str | None = None
    headers: dict[str, str] | None = None
    attempt: int = 0
    history: bytes = b""

    def as_job(self, entry: str, lives: int) -> NewJob:
        """Return the job of an entry in one of its lives."""
        past = Past(self.attempt, 0, self.history) if self.attempt or self.history else None
        return NewJob(
            id=job_id(entry, lives, self.carrier),
            task=self.task,
            queue=self.queue,
            payload=self.payload,
            priority=self.priority,
            due_ms=self.due_ms,
            expires_ms=self.expires_ms,
            key=self.key,
            headers=self.headers,
            past=past,
        )

    @property
    def digest(self) -> str:
        """Return a short digest of what the task is called with."""
        return digest_of(self.payload)


class Left(Struct, frozen=True):
    """A job that stays where it is, because it was not asked for."""

    why: str


class Refused(Struct, frozen=True):
    """A job that stays where it is, because it cannot be brought along as the map says."""

    why: str


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(Intent).decode


def encode_intent(intent: Intent) -> bytes:
    """Encode it for the ledger."""
    return _ENCODE(intent)


def decode_intent(data: bytes) -> Intent:
    """Read it from the ledger."""
    return _DECODE(data)


def digest_of(payload: bytes) -> str:
    """Return a short digest of an encoded call."""
    return blake2b(payload, digest_size=_DIGEST).hexdigest()


class Deciding:
    """Decides by one map, for one app. Asks nobody: what a carrier can take is seen later."""

    def __init__(
        self, app: Headway, job_map: JobMap, *, failed: bool = False, children: bool = False
    ) -> None:
        """`failed`: jobs that have no attempts left there are brought along too, to be run anew.

        `children`: so are jobs that another one waits for there, which then waits for ever.
        """
        self._children = children
        self._app = app
        self._map = job_map
        self._failed = failed

    def decide(self, job: FoundJob) -> Intent | Left | Refused:
        """Return what is to be enqueued, its carrier still empty; or why the job stays."""
        if why := self._staying(job):
            return Left(why)
        if job.refusal:
            return Refused(job.refusal)
        rule = self._map.rule_of(job)
        try:
            mapped = None if rule is None else mapped_by(rule, job)
            if rule is None or mapped is None:
                return Left(f"the map says nothing of {job.name!r}")
            return self._intent(job, rule, mapped)
        except (MappingError, HeadwayError) as error:
            return Refused(str(error))
        except Exception as error:  # noqa: BLE001 - an app's own hook or model may raise anything
            return Refused(f"{type(error).__name__}: {error}")

    def _staying(self, job: FoundJob) -> str:
        if job.state is FoundState.FAILED and not self._failed:
            return "it has failed there: --failed brings such jobs along, to be run anew"
        if job.schedule:
            return f"it is the next job of the repeating entry {job.schedule!r}, and goes along with that"
        if job.parent and not self._children:
            return "a job waits for its result there: --children brings it along, and that one then waits for ever"
        return _ENDED.get(job.state, "")

    def _intent(self, job: FoundJob, rule: Rule, mapped: Mapped) -> Intent:
        task = self._app.find_task(mapped.task)
        queue = mapped.queue or self._map.queue_of(rule, job)
        if queue is not None:
            valid_name(queue, "queue")
        priority = mapped.priority
        if priority is None:
            priority = self._map.priority_of(rule, job, task.options_declared.priority)
        # No unique key: what waits there was accepted there, and two alike are two jobs.
        options = JobOptions(queue=queue, priority=priority, at_ms=job.due_ms, unique=None)
        new = task.new_job(options, mapped.args, dict(mapped.kwargs))
        attempt = self._attempt(job, rule, task)
        return Intent(
            carrier="",
            task=new.task,
            queue=new.queue,
            payload=new.payload,
            priority=new.priority,
            due_ms=job.due_ms,
            expires_ms=job.expires_ms if self._keeps_expiry(rule) else None,
            key=self._key(job, rule),
            headers=new.headers,
            attempt=attempt,
            history=_history(job, attempt),
        )

    def _keeps_expiry(self, rule: Rule) -> bool:
        return (rule.expires or self._map.expires) is Expiry.KEEP

    def _key(self, job: FoundJob, rule: Rule) -> str | None:
        if job.key is None or (rule.ids or self._map.ids) is Ids.NONE:
            return None
        if not 0 < len(job.key) <= MAX_KEY or storable(job.key, MAX_KEY) != job.key:
            msg = f"its id cannot be a key of ours (1 to {MAX_KEY} characters); write ids = 'none'"
            raise MappingError(msg)
        return job.key

    def _attempt(self, job: FoundJob, rule: Rule, task: Task[Any, Any]) -> int:
        """Return the attempts that count as used up here, so that as many are left as there, one at least."""
        most = task.options_declared.retry.max_attempts
        if job.state is FoundState.FAILED:
            return 0
        allowed = self._map.attempts_of(rule, job)
        if allowed is None or self._map.retries is Retries.OURS:
            return min(job.attempts_made, most - 1)
        left = allowed - job.attempts_made
        if left < 1:
            msg = f"it has used up its {allowed} attempts there"
            raise MappingError(msg)
        return max(0, most - left)


def _history(job: FoundJob, attempt: int) -> bytes:
    reasons = job.reasons[-_MAX_REASONS:]
    first = max(attempt - len(reasons), 0) + 1
    return encode_history(
        [
            AttemptError(n, job.instant_ms, "brought along", storable(why, _MAX_REASON))
            for n, why in enumerate(reasons, first)
        ]
    )


def with_carrier(intent: Intent, carrier: str) -> Intent:
    """Return the intent with the carrier that its route names."""
    return structs.replace(intent, carrier=carrier)
