"""What workers do: claim, settle, keep their lease, report, tend."""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final, assert_never

from headway.brokers.base import Claimed, Heartbeat, LogLine, Progress, SettleResult, Tended
from headway.brokers.redis.hands import Hands
from headway.brokers.redis.records import parse_header, write_log_line, write_progress
from headway.job import (
    Cancelled,
    Delivery,
    Expired,
    Failed,
    JobId,
    Lease,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    WorkerId,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import QueueWant, Report, Retention, Settlement
    from headway.brokers.redis.call import Argument
    from headway.brokers.redis.session import Kind, Session

_UNREADABLE: Final = "its kind number is unknown: the record is damaged"


class Claims:
    """Claims of this process. What an unheard one took is handed out by the worker's next: no job may get lost."""

    def __init__(self, session: Session) -> None:
        """Number the claims from the present instant on, so that the numbers of a worker rise over restarts."""
        self._session = session
        self._last = time.time_ns() // 1000
        self._unheard: dict[WorkerId, list[int]] = {}
        self._hands: dict[WorkerId, Hands] = {}

    def begin_hands(self, worker: WorkerId) -> Hands:
        """From its next claim on, the worker takes jobs by message."""
        hands = self._hands[worker] = Hands(worker)
        return hands

    def end_hands(self, worker: WorkerId) -> None:
        """The worker takes no more jobs by message."""
        self._hands.pop(worker, None)

    async def claim(
        self, wants: Sequence[QueueWant], *, worker: WorkerId, limit: int, lease_ms: int
    ) -> Claimed:
        """Hand out jobs."""
        unheard = self._unheard.pop(worker, None)
        repeat = bool(unheard)
        if unheard:
            number = unheard.pop()
            if unheard:
                self._unheard[worker] = unheard
        else:
            self._last += 2  # the number between is that of what is handed over by message
            number = self._last
        hands = self._hands.get(worker)
        parts: list[Argument] = [
            worker,
            limit,
            lease_ms,
            number,
            _class_of(tuple(want.queue for want in wants)),
            "" if hands is None else hands.taken,
        ]
        if hands is not None:
            hands.claim_sent(number)
        for want in wants:
            parts += (want.queue, want.limit)
        try:
            next_in_ms, ids, blobs, headers, told = await self._session.run("claim", *parts, repeat=repeat)
            numbers = [blob.partition(b":")[0] for blob in blobs]
            kinds = self._session.learn_kinds(told)
        except BaseException:
            self._unheard.setdefault(worker, []).append(number)
            raise
        early = () if hands is None else hands.claim_answered(number)
        deliveries: list[Delivery] = [*early]
        damaged: list[tuple[JobId, int]] = []
        for raw_id, number_text, blob, header in zip(ids, numbers, blobs, headers, strict=True):
            delivery = _delivery(worker, raw_id, blob[len(number_text) + 1 :], kinds.get(number_text), header)
            if delivery is None:
                damaged.append((JobId(raw_id.decode()), 1 if header is None else parse_header(header).epoch))
            else:
                deliveries.append(delivery)
        if damaged:
            await self._bury(worker, damaged)
        if early:
            # Whoever was handed a job is idle no more for the server, until the next claim.
            next_in_ms = 0
        return Claimed(deliveries, None if next_in_ms < 0 else next_in_ms)

    async def _bury(self, worker: WorkerId, damaged: Sequence[tuple[JobId, int]]) -> None:
        parts: list[Argument] = [worker]
        for job_id, epoch in damaged:
            parts += (job_id, f"{epoch}B", _UNREADABLE)
        await self._session.run("settle", *parts)


@lru_cache(maxsize=64)
def _class_of(queues: tuple[str, ...]) -> str:
    return hashlib.sha1("\0".join(sorted(queues)).encode(), usedforsecurity=False).hexdigest()[:16]


def _delivery(
    worker: WorkerId, raw_id: bytes, payload: bytes, kind: Kind | None, text: bytes | None
) -> Delivery | None:
    if kind is None:
        return None
    job_id = JobId(raw_id.decode())
    if text is None:
        lease = Lease(job_id, worker, 1)
        return Delivery(lease, kind.task, kind.queue, payload, kind.priority, attempt=1, crashes=0)
    header = parse_header(text)
    return Delivery(
        Lease(job_id, worker, header.epoch),
        kind.task,
        kind.queue,
        payload,
        kind.priority,
        attempt=header.attempt,
        crashes=header.crashes,
        expires_ms=header.expires_ms,
        history=header.history,
    )


async def heartbeat(session: Session, workers: Sequence[WorkerId], lease_ms: int) -> list[Heartbeat]:
    """Extend leases."""
    if not workers:
        return []
    held = await session.run("heartbeat", lease_ms, *workers)
    return [Heartbeat(worker, bool(one)) for worker, one in zip(workers, held, strict=True)]


class Settles:
    """Settlements of this process. Those whose answer was not heard say so when they come again, see settle.lua."""

    def __init__(self, session: Session) -> None:
        """Nothing is unheard."""
        self._session = session
        self._unheard: set[Lease] = set()

    async def settle(self, items: Sequence[Settlement]) -> list[SettleResult]:
        """Apply outcomes: one script call for each worker among the leases, normally one in all."""
        by_worker: dict[WorkerId, list[int]] = {}
        for place, item in enumerate(items):
            by_worker.setdefault(item.lease.worker, []).append(place)
        applied = [False] * len(items)
        try:
            for worker, places in by_worker.items():
                flags = await self._send(worker, [items[place] for place in places])
                for place, flag in zip(places, flags, strict=True):
                    applied[place] = flag == ord("1")
        except BaseException:
            self._unheard.update(item.lease for item in items)  # also those of another worker, applied before
            raise
        if self._unheard:
            self._unheard.difference_update(item.lease for item in items)
        return [SettleResult(item.lease.job_id, done) for item, done in zip(items, applied, strict=True)]

    async def _send(self, worker: WorkerId, items: Sequence[Settlement]) -> bytes:
        parts: list[Argument] = [worker]
        for item in items:
            code, content = _outcome(item.outcome)
            parts += (item.lease.job_id, f"{item.lease.epoch}{code}", content)
        repeat = bool(self._unheard) and any(item.lease in self._unheard for item in items)
        flags: bytes = await self._session.run("settle", *parts, repeat=repeat)
        return flags


def _outcome(outcome: Outcome) -> tuple[str, Argument]:
    match outcome:
        case Succeeded(result=result):
            return "S", result
        case RetryAt(at_ms=at_ms, history=history, counted=counted):
            return f"{'R' if counted else 'r'}{at_ms}", history
        case Failed(history=history):
            return "F", history
        case Cancelled(reason=reason):
            return "C", reason
        case Expired():
            return "X", ""
        case Released():
            return "L", ""
        case _:
            assert_never(outcome)


async def surrender(session: Session, worker: WorkerId, started: Sequence[JobId] | None) -> int:
    """Take back what a dead worker holds."""
    count: int = await session.run("surrender", worker, int(started is None), *(started or ()))
    return count


async def report(session: Session, reports: Sequence[Report], max_log_lines: int) -> list[SettleResult]:
    """Record progress and log lines."""
    if not reports:
        return []
    parts: list[Argument] = [max_log_lines]
    for one in reports:
        lease = one.lease
        match one.content:
            case Progress() as progress:
                content = ("P", write_progress(progress))
            case LogLine() as line:
                content = ("L", write_log_line(line))
            case _:
                assert_never(one.content)
        parts += (lease.job_id, lease.worker, lease.epoch, *content)
    flags = await session.run("report", *parts)
    return [
        SettleResult(one.lease.job_id, flag == ord("1")) for one, flag in zip(reports, flags, strict=True)
    ]


async def tend(session: Session, retention: Retention) -> Tended:
    """Do one bounded round of maintenance."""
    promoted, expired, reclaimed, pruned, next_in_ms = await session.run(
        "tend", retention.succeeded_ms, retention.failed_ms, retention.max_succeeded
    )
    return Tended(promoted, expired, reclaimed, pruned, None if next_in_ms < 0 else next_in_ms)
