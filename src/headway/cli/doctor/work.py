"""The checks of an app's work: pure functions of what the carrier knows of its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headway.brokers.base import JobQuery
from headway.cli.doctor.finding import Finding, ok, warn
from headway.clock import SystemClock
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import Store
    from headway.config import Settings

_SAMPLE: Final = 500  # of the jobs that completed last
_OLD_MS: Final = 300_000
_UNSERVED_MS: Final = (
    1_000  # an idle worker takes a ready job within milliseconds, another one when a job of its ends
)
_SHORT_LEASE: Final = 5.0  # seconds
_NEAR: Final = 0.8


@dataclass(frozen=True, slots=True)
class WorkFacts:
    """What was seen of an app's jobs. Durations are seconds."""

    lease: float = 15.0
    timeout: float = 600.0
    sampled: int = 0
    longest: float = 0.0
    crashed: int = 0  # of those sampled: lost a worker at least once
    dead: int = 0  # in the dead-letter state
    oldest_ready: float | None = None  # since when the oldest ready job of a queue that is not paused waits
    workers: int = 0  # that hold jobs
    paused: tuple[str, ...] = ()
    unserved: tuple[
        str, ...
    ] = ()  # queues with ready jobs of some age, none of which runs, and that are not paused


def check_durations(facts: WorkFacts) -> Finding:
    """A time limit should end what hangs, not what is only slow; a lease may be shorter than a job."""
    if not facts.sampled:
        return ok("durations", "no job has completed yet")
    shown = f"the longest of the last {facts.sampled} took {facts.longest:.1f} s; the time limit is {facts.timeout:g} s"
    if facts.longest > facts.timeout * _NEAR:
        return warn("durations", shown, "raise timeout= of the slow tasks, or split their work")
    return ok("durations", shown)


def check_lease(facts: WorkFacts) -> Finding:
    """A live worker keeps its lease however long its jobs run; the lease is how long a dead host keeps them."""
    shown = f"{facts.lease:g} s"
    if facts.lease < _SHORT_LEASE:
        return warn(
            "lease", shown, "5 s or more: a host that pauses for longer loses its jobs to another one"
        )
    return ok("lease", f"{shown}; jobs may run longer: the supervisor renews it")


def check_crashes(facts: WorkFacts) -> Finding:
    """A worker that dies under its jobs costs attempts and time."""
    if facts.crashed:
        return warn(
            "crashes",
            f"{facts.crashed} of the last {facts.sampled} lost their worker at least once",
            "look for kills in the workers' and the kernel's log: memory, time limits, deployments without SIGTERM",
        )
    return ok("crashes", "none of the sampled jobs lost its worker")


def check_backlog(facts: WorkFacts) -> Finding:
    """Ready jobs that nobody takes."""
    paused = f"; paused: {', '.join(facts.paused)}" if facts.paused else ""
    if facts.oldest_ready is not None and facts.oldest_ready * 1000 > _OLD_MS:
        advice = "add workers or processes" if facts.workers else "start a worker that serves its queue"
        return warn("backlog", f"a ready job waits for {facts.oldest_ready:.0f} s{paused}", advice)
    return ok("backlog", f"no job is ready for longer than 5 min{paused}")


def check_served(facts: WorkFacts) -> Finding:
    """Jobs that no worker asks for: it serves other queues, another app, another carrier, or is not there."""
    if facts.unserved:
        return warn(
            "served",
            f"jobs wait and none runs in {', '.join(facts.unserved)}",
            "start a worker that serves the queue (headway worker, --queues), on this very URL and namespace; "
            "`headway workers` shows who runs jobs",
        )
    return ok("served", "no queue has jobs that nobody takes")


def check_dead_letters(facts: WorkFacts) -> Finding:
    """Jobs that nobody will run unless a person decides."""
    if facts.dead:
        return warn(
            "dead-letter",
            f"waiting for somebody's decision: {facts.dead}",
            "headway jobs list --state failed; then headway jobs retry or remove",
        )
    return ok("dead-letter", "none")


WORK_CHECKS: Final[tuple[Callable[[WorkFacts], Finding], ...]] = (
    check_durations,
    check_lease,
    check_crashes,
    check_backlog,
    check_served,
    check_dead_letters,
)


async def work_facts(carrier: Store, settings: Settings) -> WorkFacts:
    """Ask an open carrier."""
    page = await carrier.list(JobQuery((JobState.SUCCEEDED,)), limit=_SAMPLE)
    spent = [
        (job.finished_ms - job.started_ms) / 1000
        for job in page.jobs
        if job.finished_ms is not None and job.started_ms is not None
    ]
    counts = await carrier.counts()
    now = SystemClock().now_ms()
    waits = [
        max(0.0, (now - queue.oldest_ready_ms) / 1000)
        for queue in counts
        if queue.oldest_ready_ms is not None and not queue.paused
    ]
    return WorkFacts(
        lease=settings.lease,
        timeout=settings.timeout,
        sampled=len(page.jobs),
        longest=max(spent, default=0.0),
        crashed=sum(job.crashes > 0 for job in page.jobs),
        dead=sum(queue.counts.get(JobState.FAILED, 0) for queue in counts),
        oldest_ready=max(waits, default=None),
        workers=len(await carrier.workers()),
        paused=tuple(queue.queue for queue in counts if queue.paused),
        unserved=tuple(
            queue.queue
            for queue in counts
            if queue.oldest_ready_ms is not None
            and now - queue.oldest_ready_ms >= _UNSERVED_MS
            and not queue.paused
            and not queue.counts.get(JobState.RUNNING)
        ),
    )
