"""What is wrong now, in words, the worst first; pure. Each finding names the place where it is mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from headway.clock import to_ms
from headway.dashboard.charts import written
from headway.dashboard.rendering import Finding
from headway.job import JobState
from headway.routing.rollout.rollout import Status
from headway.server.services.queues import Queue
from headway.server.services.rollouts import RolloutView
from headway.server.services.schedules import ScheduleView
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
_MOST: Final = 20


class Facts(Struct, frozen=True):
    """What findings rest on."""

    now_ms: int
    queues: Sequence[Queue]
    workers: Sequence[Worker]
    pushed: bool  # a carrier pushes: who serves a queue there is not known here
    schedules: Sequence[ScheduleView] = ()
    rollouts: Sequence[RolloutView] = ()
    failed: int = 0  # attempts that failed in the last minutes
    ended: int = 0  # and how many ended at all
    trouble: str = ""  # what the audit log could not write


def findings(facts: Facts) -> list[Finding]:
    """Return what is wrong, at most 20 of them."""
    found = [
        *_unserved(facts),
        *_late(facts),
        *_failing(facts),
        *_rolled_back(facts),
        *_missed(facts),
        *_paused(facts),
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
    if facts.ended < _FEW or facts.failed / facts.ended < MANY_FAIL:
        return []
    share = written(facts.failed / facts.ended, "share")
    return [
        Finding(
            "bad" if facts.failed / facts.ended > _MOST_FAIL else "warn",
            f"{share} of attempts fail: {facts.failed:,} of the last {facts.ended:,}.",
            "",
            "/failures",
            "To the failures",
        )
    ]


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
