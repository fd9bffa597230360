"""What may be said of a deployment; checked where it is written, so that a mistake shows at import."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from headway.clock import duration_ms
from headway.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Duration = timedelta | float  # seconds

# The limits of the services, as their references give them.
_RATE_MAX: Final = 500.0
_DISPATCHES_MAX: Final = 5000
_TIMEOUT_MAX: Final = timedelta(hours=1)
_CONCURRENCY_MAX: Final = 1000
_DELIVERIES: Final = (5, 100)
_MEMORY: Final = {
    1: (0.125, 4.0),
    2: (0.125, 8.0),
    4: (2.0, 16.0),
    6: (4.0, 24.0),
    8: (4.0, 32.0),
}  # GiB by CPUs
_SERVICE: Final = re.compile(r"[a-z](?:[a-z0-9-]{0,47}[a-z0-9])?")
_PUBSUB: Final = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")
_SIZE: Final = re.compile(r"([0-9]+)(Mi|Gi)")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ACCOUNT: Final = re.compile(r"[^@\s:]+@[^@\s:]+\.[^@\s:]+")
_MEMBER: Final = re.compile(r"(?:user|group|serviceAccount|domain|principal|principalSet):\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The limits of a queue: dispatches a second, and jobs at once.

    `concurrency` defaults to what the service behind the queue can run at once, or 1000 where none is declared. There
    is no burst: Cloud Tasks chooses it by the rate.
    """

    rate: float = _RATE_MAX
    concurrency: int | None = None

    def __post_init__(self) -> None:
        """Check."""
        _check(
            0 < self.rate <= _RATE_MAX, f"Queue: rate must be above 0 and at most {_RATE_MAX:g}", self.rate
        )
        if self.concurrency is not None:
            wanted = f"Queue: concurrency must be from 1 to {_DISPATCHES_MAX}"
            _check(1 <= self.concurrency <= _DISPATCHES_MAX, wanted, self.concurrency)


@dataclass(frozen=True, slots=True)
class Secret:
    """A value of the environment that Cloud Run takes from Secret Manager: a secret's name, and which version."""

    name: str
    version: str = "latest"


INGRESS: Final = ("internal", "load-balancer", "all")


@dataclass(frozen=True, slots=True)
class Service:
    """A Cloud Run service that serves some queues.

    `image` runs the receiver, with `command` or as it starts by itself. `memory` is written as Cloud Run does: `512Mi`,
    `2Gi`. `timeout` (a timedelta or seconds, at most an hour) bounds a request. `concurrency` is that of one instance;
    `service_account` who it runs as, by default the app's `service_account`. `ingress` is who reaches it at all:
    `internal` (Cloud Tasks, Cloud Scheduler and Pub/Sub of the project count as that), `load-balancer` (these and load
    balancers) or `all`. Whoever does must prove to the receiver who they are.
    """

    name: str
    image: str
    queues: Sequence[str]
    cpu: int = 1
    memory: str = "512Mi"
    timeout: Duration = timedelta(minutes=30)
    min_instances: int = 0
    max_instances: int = 20
    concurrency: int = 80
    service_account: str = ""
    env: Mapping[str, str | Secret] = field(default_factory=dict[str, "str | Secret"], repr=False)
    command: Sequence[str] = ()
    ingress: Literal["internal", "load-balancer", "all"] = "internal"

    def __post_init__(self) -> None:
        """Check, and keep what was given so that nobody changes it."""
        what = f"Service {self.name!r}"
        _check(
            _SERVICE.fullmatch(self.name),
            "Service: name must be 1 to 49 of a-z, 0-9, -, a letter first",
            self.name,
        )
        _check(self.image, f"{what}: image must name a container image", self.image)
        _check(
            self.queues and not isinstance(self.queues, str), f"{what}: queues must list names", self.queues
        )
        _check(self.cpu in _MEMORY, f"{what}: cpu must be one of {', '.join(map(str, _MEMORY))}", self.cpu)
        _check_memory(what, self.cpu, self.memory)
        seconds = duration_ms(self.timeout) / 1000
        _check(
            0 < seconds <= _TIMEOUT_MAX.total_seconds() and seconds.is_integer(),
            f"{what}: timeout must be whole seconds, at most an hour",
            self.timeout,
        )
        scale = f"{what}: min_instances must be from 0 to max_instances"
        _check(0 <= self.min_instances <= self.max_instances, scale, self.min_instances)
        _check(self.max_instances >= 1, f"{what}: max_instances must be at least 1", self.max_instances)
        bound = f"{what}: concurrency must be from 1 to {_CONCURRENCY_MAX}"
        _check(1 <= self.concurrency <= _CONCURRENCY_MAX, bound, self.concurrency)
        _check_account(f"{what}: service_account", self.service_account)
        _check(self.ingress in INGRESS, f"{what}: ingress must be one of {', '.join(INGRESS)}", self.ingress)
        for name in self.env:
            _check(_VARIABLE.fullmatch(name), f"{what}: env must have names of variables", name)
        object.__setattr__(self, "queues", tuple(dict.fromkeys(self.queues)))
        object.__setattr__(self, "command", tuple(self.command))
        object.__setattr__(self, "env", MappingProxyType(dict(self.env)))

    @property
    def timeout_ms(self) -> int:
        """The timeout in milliseconds."""
        return duration_ms(self.timeout)


@dataclass(frozen=True, slots=True)
class Topic:
    """A Pub/Sub topic. `retention`: how long messages stay for a replay; None: not."""

    name: str
    retention: Duration | None = None

    def __post_init__(self) -> None:
        """Check."""
        _check_pubsub("Topic", self.name)
        if self.retention is not None:
            _check_between(
                f"Topic {self.name!r}: retention", self.retention, timedelta(minutes=10), timedelta(days=31)
            )


@dataclass(frozen=True, slots=True)
class Subscription:
    """A Pub/Sub subscription of a topic of the deployment.

    `push` is the URL that gets the messages, with a token of `service_account`; empty: they are pulled. Messages that
    were not acknowledged `max_deliveries` times go to the topic `dead_letter`. The topic, `filter` and `ordered`
    cannot be changed later: such a change makes the subscription anew.
    """

    name: str
    topic: str
    push: str = ""
    service_account: str = ""
    ack_deadline: Duration = 10
    retention: Duration = timedelta(days=7)
    filter: str = ""
    ordered: bool = False
    dead_letter: str = ""
    max_deliveries: int = 5

    def __post_init__(self) -> None:
        """Check."""
        what = f"Subscription {self.name!r}"
        _check_pubsub("Subscription", self.name)
        _check(
            self.push == "" or self.push.startswith(("https://", "http://")),
            f"{what}: push must be a URL",
            self.push,
        )
        _check_account(f"{what}: service_account", self.service_account)
        _check_between(
            f"{what}: ack_deadline", self.ack_deadline, timedelta(seconds=10), timedelta(minutes=10)
        )
        _check_between(f"{what}: retention", self.retention, timedelta(minutes=10), timedelta(days=31))
        _check(
            _DELIVERIES[0] <= self.max_deliveries <= _DELIVERIES[1],
            f"{what}: max_deliveries must be from 5 to 100",
            self.max_deliveries,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where an app runs on Google Cloud, and on what.

    `project` and `location` are those of the app's URL unless given. `enqueuers` are the members, such as
    `serviceAccount:web@shop.iam.gserviceaccount.com`, that may enqueue; `operators` may also look, cancel, pause and
    resume. Queues of the app's tasks, and its schedules, are part of it without being named.
    """

    project: str = ""
    location: str = ""
    services: Sequence[Service] = ()
    queues: Mapping[str, Queue] = field(default_factory=dict[str, Queue])
    topics: Sequence[Topic] = ()
    subscriptions: Sequence[Subscription] = ()
    enqueuers: Sequence[str] = ()
    operators: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without the app."""
        _check_once("service", [service.name for service in self.services])
        _check_once("topic", [topic.name for topic in self.topics])
        _check_once("subscription", [subscription.name for subscription in self.subscriptions])
        topics = {topic.name for topic in self.topics}
        for subscription in self.subscriptions:
            for name in filter(None, (subscription.topic, subscription.dead_letter)):
                what = f"Subscription {subscription.name!r}: there must be a topic of that name in the deployment"
                _check(name in topics, what, name)
        served: dict[str, str] = {}
        for service in self.services:
            for queue in service.queues:
                what = f"Service {service.name!r}: queue {queue!r} must be served by one service, is also by"
                _check(queue not in served, what, served.get(queue))
                served[queue] = service.name
        for member in (*self.enqueuers, *self.operators):
            form = "Deployment: a member must be written like user:a@b.c or serviceAccount:a@b.c"
            _check(_MEMBER.fullmatch(member), form, member)
        for name in ("services", "topics", "subscriptions", "enqueuers", "operators"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "queues", MappingProxyType(dict(self.queues)))


def _check(right: object, rule: str, got: object) -> None:
    if not right:
        msg = f"{rule}; got {got!r}"
        raise DeclarationError(msg)


def _check_once(what: str, names: list[str]) -> None:
    for name in names:
        _check(names.count(name) == 1, f"Deployment: a {what} must be declared once", name)


def _check_between(what: str, duration: Duration, least: timedelta, most: timedelta) -> None:
    ms = duration_ms(duration)
    _check(
        duration_ms(least) <= ms <= duration_ms(most) and ms % 1000 == 0,
        f"{what} must be whole seconds from {least} to {most}",
        duration,
    )


def _check_account(what: str, account: str) -> None:
    _check(
        account == "" or _ACCOUNT.fullmatch(account),
        f"{what} must be the e-mail address of an account",
        account,
    )


def _check_pubsub(what: str, name: str) -> None:
    rule = f"{what}: name must be 3 to 255 letters, digits and -._~%+, a letter first, not goog"
    _check(_PUBSUB.fullmatch(name), rule, name)


def _check_memory(what: str, cpu: int, memory: str) -> None:
    found = _SIZE.fullmatch(memory)
    _check(found, f"{what}: memory must be written like 512Mi or 2Gi", memory)
    if found is not None:
        size = int(found[1]) / (1024 if found[2] == "Mi" else 1)
        least, most = _MEMORY[cpu]
        _check(
            least <= size <= most,
            f"{what}: memory for {cpu} CPU must be from {least:g} to {most:g} Gi",
            memory,
        )
