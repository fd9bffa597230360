"""The checks of a carrier that pushes: pure functions of what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from headway.cli.doctor.finding import Finding, error, ok, warn

if TYPE_CHECKING:
    from collections.abc import Callable

_SLOW_API_MS: Final = 200.0  # within a region a call takes 20 ms or so
_SLOW_GUARD_MS: Final = 50.0  # two of them lie on the way of each job
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class PushFacts:
    """What was seen of Cloud Tasks, of the guard's store and of the settings. Problems are what they said."""

    api_problem: str = ""
    api_ms: float = 10.0
    queues: int = 1  # of the app
    guard: str = "postgresql"  # the scheme of its URL; empty: none
    guard_problem: str = ""
    guard_ms: float = 2.0
    targets: tuple[str, ...] = ("https://receiver.example/",)
    service_account: bool = True
    secret: bool = False
    emulated: bool = False


def check_api(facts: PushFacts) -> Finding:
    """Each enqueue is a call of it."""
    if facts.api_problem:
        return error(
            "cloud-tasks", facts.api_problem, "start what should answer, or correct the URL and the rights"
        )
    shown = f"a list of queues took {facts.api_ms:.0f} ms"
    if facts.api_ms > _SLOW_API_MS:
        return warn("cloud-tasks", shown, "choose a location near the producers")
    return ok("cloud-tasks", shown)


def check_queues(facts: PushFacts) -> Finding:
    """A job for a queue that is not there is refused."""
    if facts.api_problem:
        return ok("queues", "not looked at")
    if not facts.queues and not facts.emulated:
        return warn("queues", "the app has none", "`headway gcp apply` creates those of its tasks")
    return ok("queues", f"the app has {facts.queues}")


def check_receiver(facts: PushFacts) -> Finding:
    """Cloud Tasks sends to whatever URL a task names."""
    if not facts.targets:
        return error(
            "receiver", "no target is set: every enqueue is refused", "set HEADWAY_TARGET to its URL"
        )
    open_ones = [
        url
        for url in facts.targets
        if urlsplit(url).scheme != "https" and urlsplit(url).hostname not in _LOCAL
    ]
    if open_ones:
        return warn("receiver", f"{open_ones[0]} is not encrypted", "give the receiver an https:// URL")
    return ok("receiver", ", ".join(facts.targets))


def check_proof(facts: PushFacts) -> Finding:
    """A receiver that cannot tell who sends refuses everything."""
    if facts.service_account:
        return ok("proof", "OIDC tokens of the service account")
    if facts.secret:
        return ok("proof", "signatures with the shared secret")
    return error(
        "proof", "nothing proves who sends: the receiver refuses everything", "set HEADWAY_SERVICE_ACCOUNT"
    )


def check_guard(facts: PushFacts) -> Finding:
    """Without a guard there are no leases, no results and no keys."""
    if not facts.guard:
        return error(
            "guard", "none is set: jobs can be enqueued, not received", "set HEADWAY_GUARD to its store"
        )
    if facts.guard_problem:
        return error("guard", facts.guard_problem, "start its store, or correct HEADWAY_GUARD")
    shown = f"{facts.guard}, a look took {facts.guard_ms:.0f} ms"
    if facts.guard == "sqlite" and not facts.emulated:
        return warn(
            "guard", f"{shown}; a file of one host", "with more than one receiver use PostgreSQL or Redis"
        )
    if facts.guard_ms > _SLOW_GUARD_MS:
        return warn("guard", shown, "each job waits for it twice: choose one near the receivers")
    return ok("guard", shown)


PUSH_CHECKS: Final[tuple[Callable[[PushFacts], Finding], ...]] = (
    check_api,
    check_queues,
    check_receiver,
    check_proof,
    check_guard,
)
