"""What can be set for an app and its workers: frozen.

Durations are written as a number of seconds or as text: `500ms`, `15s`, `2m`, `24h`, `7d`.
`docs/explanation/defaults.md` gives the reason of each default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from msgspec import Struct

from headway.text import shown, shown_fields

if TYPE_CHECKING:
    from headway.clock import Duration


MAIN: Final = "main"
"""What the carrier of an app is called that has only one."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of an app and its workers. Durations are seconds."""

    url: str = "sqlite:///headway.db"  # the carrier, where there is one; else that of the first of `carriers`
    carriers: dict[str, str] = {}  # several, by name; the first takes what has no route
    routes: dict[str, str | dict[str, int | str]] = {}  # of queues: a carrier, or percentages of several
    namespace: str = ""  # empty: the app's name
    spool: str = ""  # URL of this host's file for jobs whose carrier is away; empty: they are refused
    spool_limit: int = 100_000  # jobs in it
    spool_bytes: int = 256 * 1024 * 1024  # of these jobs
    breaker_errors: int = (
        3  # calls without an answer within the window, from which on a carrier counts as away
    )
    breaker_window: float = 30.0
    breaker_timeout: float = 2.0  # an enqueue without an answer for so long is one of them
    breaker_pause: float = 5.0  # between two looks whether the carrier is back
    include: list[str] = []  # modules with the app's tasks, imported where they run

    # Jobs
    timeout: float = 600.0  # of one attempt
    kill_after: float = 10.0  # from a timeout or a lost lease to the hard end of the process
    max_crashes: int = 5  # deaths of its worker after which a job goes to the dead-letter state
    payload_limit: int = 256 * 1024  # bytes of an encoded call or result
    format: Literal["msgpack", "json"] = "msgpack"
    compression: Literal["none", "zstd"] = "none"
    compress_over: int = 1024  # bytes

    # Retention
    keep_succeeded: float = 24 * 3600.0
    keep_failed: float = 7 * 24 * 3600.0
    max_succeeded: int = 100_000
    record_events: bool = False

    # Records
    records: str = ""  # URL of the database in which it is kept what became of jobs
    records_keep_completed: float = 24 * 3600.0
    records_keep_failed: float = 7 * 24 * 3600.0

    # Workers
    lease: float = 15.0
    grace: float = 25.0  # from SIGTERM to the hand-back; Kubernetes kills at 30
    processes: int = 0  # 0: from the CPU quota
    concurrency: int = 20  # jobs at once in one process
    queue_concurrency: dict[str, int] = {}  # of single queues, per process
    queue_weights: dict[str, int] = {}  # how often a queue comes first; 1 by default
    queues: list[str] = []  # empty: all queues of the declared tasks
    max_jobs: int = 0  # recycle a process after so many jobs; 0: never
    max_memory_mb: int = 0  # recycle a process above so much resident memory; 0: never

    # Push
    guard: str = ""  # URL of the guard's store
    target: str = ""  # URL of the receiver
    targets: dict[str, str] = {}  # of single queues, where several services serve the app
    service_account: str = ""  # the identity that Cloud Tasks proves to the receiver, then others so accepted
    audience: str = ""  # of its tokens; empty: the target
    token_keys: str = ""  # URL of the public keys of those tokens; empty: Google's
    token_issuer: str = ""  # who issues them; empty: Google
    push_secret: str = ""  # signs requests with HMAC, for dispatchers without tokens; then others that verify
    push_lease: float = 60.0
    push_concurrency: int = 80  # jobs at once in one receiver
    push_grace: float = 9.0  # from SIGTERM to the hand-back; Cloud Run kills at 10
    priority_bands: list[int] = []  # the priorities from which a queue of their own begins
    guard_budget: float = 0.0  # commands of the guard's store for each job, beyond which it warns; 0: never

    # Large payloads, cache
    offload: str = ""  # URL of the folder or bucket for payloads over `offload_over`
    offload_over: int = 64 * 1024  # bytes of an encoded call or result
    offload_limit: int = 64 * 1024 * 1024  # in place of `payload_limit` where `offload` is set
    cache: str = ""  # URL of the Redis, by TCP or HTTP, behind `app.cache` and `app.limiter`

    # Server
    access: str = "sqlite:///headway-access.db"  # URL of the database of API keys and the audit log

    def __repr__(self) -> str:
        """Show all but secrets: settings end up in logs and in reports of errors."""
        return shown(self, secrets=("push_secret",))

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """As `__repr__`, for rich."""
        return shown_fields(self, secrets=("push_secret",))

    @property
    def carrier_urls(self) -> dict[str, str]:
        """The URLs of all carriers by name; the one of an app that names none is called `main`."""
        return self.carriers or {MAIN: self.url}


class GivenSettings(TypedDict, total=False):
    """The settings that `Headway(name, ...)` takes, as in Settings; durations may also be texts such as `15s`."""

    url: str | None
    carriers: dict[str, str]
    routes: dict[str, str | dict[str, int | str]]
    namespace: str
    spool: str
    spool_limit: int
    spool_bytes: int
    breaker_errors: int
    breaker_window: Duration
    breaker_timeout: Duration
    breaker_pause: Duration
    include: list[str]
    timeout: Duration
    kill_after: Duration
    max_crashes: int
    payload_limit: int
    format: Literal["msgpack", "json"]
    compression: Literal["none", "zstd"]
    compress_over: int
    keep_succeeded: Duration
    keep_failed: Duration
    max_succeeded: int
    record_events: bool
    records: str
    records_keep_completed: Duration
    records_keep_failed: Duration
    lease: Duration
    grace: Duration
    processes: int
    concurrency: int
    queue_concurrency: dict[str, int]
    queue_weights: dict[str, int]
    queues: list[str]
    max_jobs: int
    max_memory_mb: int
    guard: str
    target: str
    targets: dict[str, str]
    service_account: str
    audience: str
    token_keys: str
    token_issuer: str
    push_secret: str
    push_lease: Duration
    push_concurrency: int
    push_grace: Duration
    priority_bands: list[int]
    guard_budget: float
    offload: str
    offload_over: int
    offload_limit: int
    cache: str
    access: str
