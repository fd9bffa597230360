"""What the emulator keeps: queues and tasks. Times are in milliseconds, but where the name says `_us`."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from msgspec import Struct

_SECOND: Final = 1000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_SMALLEST_BURST: Final = 10
_LARGEST_BURST: Final = 100


class Limits(Struct, frozen=True, kw_only=True):
    """What the service allows. The defaults are the documented ones; tests and self-hosted use may widen them."""

    max_rate: float = 500.0
    max_concurrent: int = 5000
    task_bytes: int = 1024 * 1024
    header_bytes: int = 80 * 1024
    url_chars: int = 2083
    horizon_ms: int = 30 * _DAY
    retention_ms: int = 31 * _DAY
    min_deadline_ms: int = 15 * _SECOND
    max_deadline_ms: int = 30 * _MINUTE
    default_deadline_ms: int = 10 * _MINUTE
    # Google documents "up to 24 hours" today, and measured "about an hour" for years.
    task_name_ms: int = _HOUR
    queue_name_ms: int = 3 * _DAY
    batch_create: int = 100
    batch_delete: int = 1000


class QueueState(StrEnum):
    """Whether tasks are dispatched. New ones are always accepted."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"


class RateLimits(Struct, frozen=True):
    """How fast a queue dispatches, first attempts and retries alike."""

    per_second: float = 500.0
    concurrent: int = 1000

    @property
    def burst(self) -> int:
        """The size of the token bucket, which the service derives from the rate."""
        return min(_LARGEST_BURST, max(_SMALLEST_BURST, math.ceil(self.per_second)))


class RetryConfig(Struct, frozen=True):
    """When a failed task is tried again; `max_attempts` -1 and `max_duration_ms` 0 mean without limit."""

    max_attempts: int = 100
    max_duration_ms: int = 0
    min_backoff_ms: int = 100
    max_backoff_ms: int = 3_600_000
    max_doublings: int = 16


class OidcToken(Struct, frozen=True, tag=True):
    """Attach an OIDC token of this service account; without an audience it is the URL."""

    email: str
    audience: str = ""


class OAuthToken(Struct, frozen=True, tag=True):
    """Attach an OAuth access token of this service account."""

    email: str
    scope: str = ""


class HttpRequest(Struct, frozen=True):
    """What a task sends."""

    url: str
    method: str = "POST"
    headers: dict[str, str] = {}
    body: bytes = b""
    token: OidcToken | OAuthToken | None = None


class UriOverride(Struct, frozen=True):
    """Parts of the URL that a queue sets for all its tasks. None: the task's own."""

    scheme: str | None = None
    host: str | None = None
    port: int | None = None  # 0 removes it
    path: str | None = None
    query: str | None = None
    if_missing: bool = False


class HttpTarget(Struct, frozen=True):
    """What a queue sets for the requests of all its tasks."""

    uri: UriOverride | None = None
    method: str | None = None
    headers: dict[str, str] = {}
    token: OidcToken | OAuthToken | None = None


class Queue(Struct, frozen=True):
    """A queue as it was configured, with the defaults filled in."""

    name: str
    rate: RateLimits = RateLimits()
    retry: RetryConfig = RetryConfig()
    state: QueueState = QueueState.RUNNING
    target: HttpTarget | None = None
    sampling_ratio: float | None = None
    purged_ms: int | None = None


class Attempt(Struct, frozen=True):
    """One dispatch. Without `responded_ms` it is under way; `status` (HTTP) is None when there was no answer."""

    schedule_us: int
    dispatched_ms: int
    responded_ms: int | None = None
    status: int | None = None
    code: int = 0
    message: str = ""


class TaskSpec(Struct, frozen=True):
    """The part of a task that never changes. `named`: the caller chose the name, so it is kept after the task's end."""

    name: str
    request: HttpRequest
    created_ms: int
    deadline_ms: int
    named: bool
    retry: RetryConfig | None = None


class TaskState(Struct, frozen=True):
    """The part of a task that its attempts change."""

    schedule_us: int
    dispatches: int = 0
    responses: int = 0
    # Attempts that reached the handler and failed there: no 5xx, and not one without an answer.
    executions: int = 0
    first_dispatch_ms: int | None = None
    last: Attempt | None = None

    @property
    def due_ms(self) -> int:
        """The first millisecond in which the task may be dispatched."""
        return -(-self.schedule_us // 1000)


class Task(Struct, frozen=True):
    """A task that has not ended."""

    spec: TaskSpec
    state: TaskState

    @property
    def name(self) -> str:
        """The full resource name."""
        return self.spec.name
