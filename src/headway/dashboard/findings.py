"""What is wrong now, in words, the worst first; pure. Each finding names the place where it is mended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from headway.clock import to_ms
from headway.dashboard.charts import written
from headway.dashboard.rendering import Finding
from headway.job import JobState
from headway.migrate.standing import MigrationState
from headway.migrate.viewing import MigrationSummary
from headway.routing.rollout.rollout import Status
from headway.server.services.queues import Queue
from headway.server.services.rollouts import RolloutView
from headway.server.services.schedules import ScheduleView
from headway.server.services.spool import SpoolView
from headway.server.services.workers import Worker

OLD_MS: Final = 60_000
"""A ready job that waits longer than this while its queue is not paused is worth a look."""
MANY_FAIL: Final = 0.05
"""The share of attempts above which failing is worth a look."""
_MOST_FAIL: Final = 0.2
_FEW: Final = 20  # attempts: fewer are no rate
_VERY_OLD_MS: Final = 15 * 60_000
_MISSED_MS: Final = 90_000
"""A schedule whose next fire lies this far back was missed: nobody runs schedules."""
RECENT_MS: Final = 15 * 60_000
"""What attempts came to longer ago than this is no longer wrong now."""
_BEHIND_MS: Final = 60_000
_NEARLY_FULL: Final = 0.8
_MOST: Final = 20
_TROUBLES: Final = {
    MigrationState.SILENT: "stopped in the middle",
    MigrationState.STOPPED: "was stopped before its end",
    MigrationState.FAILED: "failed in the middle",
    MigrationState.UNSOUND: "does not add up: verify did not find all",
}


class Facts(Struct, frozen=True):
    """What findings rest on."""

    now_ms: int
    queues: Sequence[Queue]
    workers: Sequence[Worker]
    pushed: bool  # a carrier pushes: who serves a queue there is not known here
    schedules: Sequence[ScheduleView] = ()
    rollouts: Sequence[RolloutView] = ()
    migrations: Sequence[MigrationSummary] = ()
    # Of the last 15 minutes:
    failed: int = 0  # attempts
    ended: int = 0  # attempts, those that failed among them
    dead: int = 0  # jobs that failed for good
    superseded: int = 0  # attempts of which the worker had lost the lease
    # What the app leans on:
    trouble: str = ""  # what the audit log could not write
    spool: SpoolView | None = None
    spool_trouble: str = ""  # why its file cannot be read
    records: Mapping[str, int | None] | None = (
        None  # carriers and how many ms they are behind; None: never recorded
    )
    records_trouble: str = ""  # why their database cannot be read


def findings(facts: Facts) -> list[Finding]:
    """Return what is wrong, at most 20 of them."""
    found = [
        *_unserved(facts),
        *_late(facts),
        *_failing(facts),
        *_superseded(facts),
        *_away(facts),
        *_spooled(facts),
        *_rolled_back(facts),
        *_migrating(facts),
        *_missed(facts),
        *_paused(facts),
        *_unrecorded(facts),
    ]
    if facts.trouble:
        found.append(
            Finding("bad", "The audit log cannot be written.", facts.trouble, "/audit", "To the audit log")
        )
    found.sort(key=lambda one: one.tone != "bad")
    return found[:_MOST]


def _waiting(queue: Queue) -> int:
    return queue.counts.get(JobState.READY, 0)


def _age(queue: Queue) -> str:
    return written(queue.oldest_ready_age_ms or 0, "ms")


def _unserved(facts: Facts) -> list[Finding]:
    if facts.pushed:
        return []
    served = {queue for worker in facts.workers for queue in worker.queues}
    return [
        Finding(
            "bad",
            f"Queue {one.name} is served by nobody: {_waiting(one):,} jobs wait, the oldest for {_age(one)}.",
            "No worker that is alive asks for it. Start one, or name the queue to one that runs.",
            "/workers",
            "To the workers",
        )
        for one in facts.queues
        if _waiting(one) and not one.paused and one.name not in served
    ]


def _late(facts: Facts) -> list[Finding]:
    served = {queue for worker in facts.workers for queue in worker.queues}
    return [
        Finding(
            "bad" if (one.oldest_ready_age_ms or 0) > _VERY_OLD_MS else "warn",
            f"Queue {one.name} is behind: its oldest job has waited for {_age(one)}.",
            f"{_waiting(one):,} jobs wait. More workers or places, or a slow task: see its times.",
            f"/queues#{quote(one.name)}",
            "To the queue",
        )
        for one in facts.queues
        if (one.oldest_ready_age_ms or 0) > OLD_MS and not one.paused and (facts.pushed or one.name in served)
    ]


def _failing(facts: Facts) -> list[Finding]:
    for_good = f"{_many(facts.dead, 'job')} failed for good in the last 15 min."
    if facts.ended < _FEW or facts.failed / facts.ended < MANY_FAIL:
        return [Finding("warn", for_good, "", "/failures", "To the failures")] if facts.dead else []
    share = written(facts.failed / facts.ended, "share")
    return [
        Finding(
            "bad" if facts.failed / facts.ended > _MOST_FAIL else "warn",
            f"{share} of attempts fail: {facts.failed:,} of the last {facts.ended:,}.",
            for_good if facts.dead else "",
            "/failures",
            "To the failures",
        )
    ]


def _superseded(facts: Facts) -> list[Finding]:
    if not facts.superseded:
        return []
    return [
        Finding(
            "warn",
            f"{_many(facts.superseded, 'attempt')} lost the lease in the last 15 min.",
            "A worker stood still or was cut off for the length of its lease, and its jobs ran again.",
            "/workers",
            "To the workers",
        )
    ]


def _away(facts: Facts) -> list[Finding]:
    if facts.spool is None:
        return []
    # One finding a carrier, however many processes say so.
    away = {one.carrier: one for one in facts.spool.contents.breakers if one.state == "open"}
    return [
        Finding(
            "bad",
            f"Carrier {one.carrier} does not answer, for {written(max(0, facts.now_ms - one.since_ms), 'ms')}.",
            f"{one.why} New jobs go where else their route leads, or into the spool of their host.".lstrip(),
            "/routes",
            "To the routes",
        )
        for one in away.values()
    ]


def _spooled(facts: Facts) -> list[Finding]:
    if facts.spool_trouble:
        return [Finding("bad", "The spool of this host cannot be read.", facts.spool_trouble)]
    if facts.spool is None:
        return []
    contents, full = facts.spool.contents, facts.spool.full
    found: list[Finding] = []
    if waiting := contents.jobs - contents.parked:
        age = written(max(0, facts.now_ms - (contents.oldest_ms or facts.now_ms)), "ms")
        share = written(full, "share")
        found.append(
            Finding(
                "bad" if full >= _NEARLY_FULL else "warn",
                f"{_many(waiting, 'job')} in the spool of this host, {share} full, the oldest for {age}.",
                "They go to their carrier when it is back. When the spool is full, jobs are refused.",
            )
        )
    if contents.parked:
        found.append(
            Finding(
                "warn",
                f"{_many(contents.parked, 'job')} of the spool of this host set aside.",
                "`headway spool show` says why; then `headway spool resend` or `headway spool drop`.",
            )
        )
    return found


def _unrecorded(facts: Facts) -> list[Finding]:
    if facts.records_trouble:
        return [Finding("bad", "The database of the records does not answer.", facts.records_trouble)]
    found: list[Finding] = []
    for carrier, behind in (facts.records or {}).items():
        if behind is not None and behind <= _BEHIND_MS:
            continue
        text = (
            f"Nobody has recorded the jobs of carrier {carrier}."
            if behind is None
            else f"The records of carrier {carrier} are {written(behind, 'ms')} behind."
        )
        tone = "bad" if behind is not None and behind > _VERY_OLD_MS else "warn"
        why = "`headway recorder` writes them: see whether one runs, and what it says."
        found.append(Finding(tone, text, why, "/history", "To the history"))
    return found


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _rolled_back(facts: Facts) -> list[Finding]:
    return [
        Finding(
            "bad" if one.status is Status.ROLLED_BACK else "warn",
            f"The roll-out of {one.queue} to {one.to} "
            f"{'was rolled back' if one.status is Status.ROLLED_BACK else 'is paused'} at {one.percent} %.",
            one.decision.text,
            "/routes",
            "To the roll-out",
        )
        for one in facts.rollouts
        if one.status in {Status.ROLLED_BACK, Status.PAUSED}
    ]


def _migrating(facts: Facts) -> list[Finding]:
    return [
        Finding(
            "warn" if one.state is MigrationState.STOPPED else "bad",
            f"The migration from {one.kind} {_TROUBLES[one.state]}.",
            one.said,
            f"/migrations/{one.id}",
            "To the migration",
        )
        for one in facts.migrations
        if one.state in _TROUBLES
    ]


def _missed(facts: Facts) -> list[Finding]:
    return [
        Finding(
            "bad",
            f"Schedule {one.name} did not fire when it was due.",
            "No worker, receiver or scheduler of this app runs schedules.",
            "/schedules",
            "To the schedules",
        )
        for one in facts.schedules
        if not one.paused
        and one.known
        and one.next_fire_at is not None
        and to_ms(one.next_fire_at) < facts.now_ms - _MISSED_MS
    ]


def _paused(facts: Facts) -> list[Finding]:
    return [
        Finding(
            "warn",
            f"Queue {one.name} is paused with {_waiting(one):,} jobs in it.",
            "It goes on by itself." if one.paused_until else "It stays so until somebody resumes it.",
            f"/queues#{quote(one.name)}",
            "To the queue",
        )
        for one in facts.queues
        if one.paused and _waiting(one)
    ]
