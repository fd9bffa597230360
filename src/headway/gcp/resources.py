"""The state of the cloud as data: what is wanted and what is there are compared field by field.

Only what Headway decides is a field; whatever else a service keeps of a resource is left as it is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct


class Kind(StrEnum):
    """The kinds, in the order in which they are created; they are deleted in the opposite one."""

    TOPIC = "topic"
    SUBSCRIPTION = "subscription"
    SERVICE = "service"
    BINDING = "binding"
    QUEUE = "queue"
    SCHEDULE = "schedule"


class CloudTopic(Struct, frozen=True, kw_only=True):
    """A Pub/Sub topic."""

    kind: ClassVar[Kind] = Kind.TOPIC
    immutable: ClassVar[frozenset[str]] = frozenset()

    name: str
    retention_s: int | None = None


class CloudSubscription(Struct, frozen=True, kw_only=True):
    """A Pub/Sub subscription."""

    kind: ClassVar[Kind] = Kind.SUBSCRIPTION
    immutable: ClassVar[frozenset[str]] = frozenset({"topic", "filter", "ordered"})

    name: str
    topic: str
    push: str = ""
    service_account: str = ""
    ack_deadline_s: int = 10
    retention_s: int = 7 * 24 * 3600
    filter: str = ""
    ordered: bool = False
    dead_letter: str = ""
    max_deliveries: int = 0


class EnvValue(Struct, frozen=True):
    """A plain value, or the version of a secret. A value may be a secret too: its repr hides it."""

    value: str = ""
    secret: str = ""
    version: str = ""

    def __repr__(self) -> str:
        """Name a secret, hide a value."""
        return f"secret {self.secret}:{self.version}" if self.secret else "(hidden)"


class CloudService(Struct, frozen=True, kw_only=True):
    """A Cloud Run service: the container of its template, and how it scales."""

    kind: ClassVar[Kind] = Kind.SERVICE
    immutable: ClassVar[frozenset[str]] = frozenset()

    name: str
    image: str
    command: tuple[str, ...] = ()
    cpu: str = "1"
    memory: str = "512Mi"
    timeout_s: int = 300
    min_instances: int = 0
    max_instances: int = 20
    concurrency: int = 80
    service_account: str = ""
    env: dict[str, EnvValue] = {}
    ingress: str = "internal"
    # Cloud Run takes the signature off a token that it has checked: then nobody can check it again. The receiver does.
    token_checked: bool = False


class CloudBinding(Struct, frozen=True, kw_only=True):
    """A member has a role on a resource. Bindings are added, never taken away: others may need them too."""

    kind: ClassVar[Kind] = Kind.BINDING
    immutable: ClassVar[frozenset[str]] = frozenset()

    target: str  # the full name of the resource
    role: str
    member: str

    @property
    def name(self) -> str:
        """All there is to it."""
        return f"{self.role} on {self.target.rpartition('/')[2]} for {self.member}"


class CloudQueue(Struct, frozen=True, kw_only=True):
    """A Cloud Tasks queue. Attempts without limit: giving up is the retry policy's business.

    The retry configuration is the same for all: each task of Headway carries one of its own, so that the queue's has
    no say. It is the mark of the queues that Headway made, which have no labels; a changed one here would disown them.
    """

    kind: ClassVar[Kind] = Kind.QUEUE
    immutable: ClassVar[frozenset[str]] = frozenset()

    name: str
    rate: float = 500.0
    concurrency: int = 1000
    max_attempts: int = -1
    max_retry_ms: int = 0
    min_backoff_ms: int = 1_000
    max_backoff_ms: int = 60_000
    max_doublings: int = 6

    @property
    def is_marked(self) -> bool:
        """Tell whether it has the retry configuration that Headway writes: neither Google's default nor a usual one."""
        mark = CloudQueue(name=self.name, rate=self.rate, concurrency=self.concurrency)
        return self == mark


class CloudSchedule(Struct, frozen=True, kw_only=True):
    """A Cloud Scheduler job that tells the receiver of a fire. `headers` may hold a signature."""

    kind: ClassVar[Kind] = Kind.SCHEDULE
    immutable: ClassVar[frozenset[str]] = frozenset()

    name: str
    schedule: str  # as the app calls it
    cron: str
    timezone: str
    url: str
    body: bytes
    headers: dict[str, str]
    service_account: str = ""
    audience: str = ""
    deadline_ms: int = 60_000  # the receiver only enqueues
    retries: int = 5  # as many as there can be
    min_backoff_ms: int = 5_000
    max_backoff_ms: int = 60_000

    def __repr__(self) -> str:
        """Leave the headers out."""
        return f"CloudSchedule({self.name!r}, {self.cron!r}, {self.timezone!r}, {self.url!r})"


Resource = CloudTopic | CloudSubscription | CloudService | CloudBinding | CloudQueue | CloudSchedule
Key = tuple[Kind, str]


class Seen(Struct, frozen=True):
    """A resource as it is, with what nobody declares."""

    resource: Resource
    paused: bool = False
    busy: bool = False  # a queue in which jobs wait
    foreign: bool = False  # a queue that is named like one of the app's, and was not made by Headway
    broken: str = ""  # why a service does not run as it is declared
    detail: str = ""  # what else an operator wants to see: a service's URL, a schedule's next time


def key_of(resource: Resource) -> Key:
    """Return what tells it from all others of the deployment."""
    if isinstance(resource, CloudBinding):
        return resource.kind, f"{resource.target} {resource.role} {resource.member}"
    return resource.kind, resource.name
