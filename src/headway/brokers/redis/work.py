"""What workers do: claim, settle, keep their lease, report, tend."""

from __future__ import annotations

import hashlib
import time
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Final, assert_never

from headway.brokers.base import Claimed, Heartbeat, LogLine, Progress, QueueWant, SettleResult, Tended
from headway.brokers.redis.hands import Hands
from headway.brokers.redis.records import parse_header, write_log_line, write_progress
from headway.job import (
    ID_LENGTH,
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
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import Report, Retention, Settlement
    from headway.brokers.redis.call import Argument
    from headway.brokers.redis.records import Header
    from headway.brokers.redis.session import Kind, Session

_APPLIED: Final = ord("1")
_UNREADABLE: Final = "its id or its kind number is unknown: the record is damaged"


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
        again = bool(unheard)
        if unheard:
            number = unheard.pop()
            if unheard:
                self._unheard[worker] = unheard
        else:
            self._last += 2  # the number between is that of what is handed over by message
            number = self._last
        hands = self._hands.get(worker)
        if len({want.queue for want in wants}) < len(wants):
            wants = _merged(wants)
        queues = "".join([_measured(want.queue) for want in wants])
        parts: list[Argument] = [
            worker,
            limit,
            lease_ms,
            number,
            _class_of(tuple([want.queue for want in wants])),
            "" if hands is None else hands.taken,
            queues,
        ]
        if hands is not None:
            hands.claim_sent(number)
        for want in wants:
            if want.limit < limit:
                parts += (want.queue, want.limit)
        try:
            next_in_ms, ids, blobs, headers, told = await self._session.run("claim", *parts, repeat=again)
            kinds = self._session.learn_kinds(told)
            deliveries, damaged = _deliveries(worker, _taken_apart(ids), blobs, headers, kinds)
            if damaged:
                await self._bury(worker, damaged)
        except BaseException:
            self._unheard.setdefault(worker, []).append(number)
            raise
        early = () if hands is None else hands.claim_answered(number)
        if early:
            deliveries = [*early, *deliveries]
            # Whoever was handed a job is idle no more for the server, until the next claim.
            next_in_ms = 0
        return Claimed(deliveries, None if next_in_ms < 0 else next_in_ms)

    async def _bury(self, worker: WorkerId, damaged: Sequence[tuple[bytes, int]]) -> None:
        parts: list[Argument] = [worker, ""]
        for job_id, epoch in damaged:
            parts += (job_id, f"{epoch}B", _UNREADABLE)
        await self._session.run("settle", *parts)


def _merged(wants: Sequence[QueueWant]) -> list[QueueWant]:
    """Return one want for each queue."""
    limits: dict[str, int] = {}
    for want in wants:
        limits[want.queue] = limits.get(want.queue, 0) + want.limit
    return [QueueWant(queue, limit) for queue, limit in limits.items()]


@lru_cache(maxsize=512)  # a worker asks for its queues in as many orders
def _class_of(queues: tuple[str, ...]) -> str:
    return hashlib.sha1(
        "\0".join(sorted(queues)).encode(errors="surrogatepass"), usedforsecurity=False
    ).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _measured(queue: str) -> str:
    """Write a queue's name behind its length in bytes; one that has no encoding is refused when the call is sent."""
    return f"{len(queue.encode(errors='surrogatepass'))}:{queue}"


def _taken_apart(ids: bytes | list[bytes]) -> list[bytes]:
    """Return the ids one by one; those of the usual length come in one piece."""
    if isinstance(ids, bytes):
        return [ids[at : at + ID_LENGTH] for at in range(0, len(ids), ID_LENGTH)]
    return ids


def _deliveries(
    worker: WorkerId,
    ids: Sequence[bytes],
    blobs: Sequence[bytes],
    headers: Sequence[bytes | None],
    kinds: Mapping[bytes, Kind],
) -> tuple[list[Delivery], list[tuple[bytes, int]]]:
    """Read what was claimed; also the ids and epochs of what nobody can read. No `headers`: all are fresh."""
    deliveries: list[Delivery] = []
    damaged: list[tuple[bytes, int]] = []
    number, kind = b"", None
    for raw_id, blob, text in zip(ids, blobs, headers or repeat(None, len(ids)), strict=True):
        if not number or not blob.startswith(number):  # most have the kind of the one before
            number = blob.partition(b":")[0] + b":"
            kind = kinds.get(number[:-1])
        header = None if text is None else parse_header(text)
        epoch = 1 if header is None else header.epoch
        try:
            job_id = JobId(raw_id.decode())
        except UnicodeDecodeError:
            damaged.append((raw_id, epoch))
            continue
        if kind is None:
            damaged.append((raw_id, epoch))
            continue
        lease = Lease(job_id, worker, epoch)
        payload = blob[len(number) :]
        if header is None:
            deliveries.append(Delivery(lease, kind.task, kind.queue, payload, kind.priority, 1, 0))
        else:
            deliveries.append(_revived(lease, kind, payload, header))
    return deliveries, damaged


def _revived(lease: Lease, kind: Kind, payload: bytes, header: Header) -> Delivery:
    return Delivery(
        lease,
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
                mine = items if len(places) == len(items) else [items[place] for place in places]
                for place, flag in zip(places, await self._send(worker, mine), strict=True):
                    applied[place] = flag == _APPLIED
        except BaseException:
            self._unheard.update(item.lease for item in items)  # also those of another worker, applied before
            raise
        if self._unheard:
            self._unheard.difference_update(item.lease for item in items)
        return [SettleResult(item.lease.job_id, done) for item, done in zip(items, applied, strict=True)]

    async def _send(self, worker: WorkerId, items: Sequence[Settlement]) -> bytes:
        """Settle; return a 1 or a 0 for each item."""
        plain: list[str] = []
        places: list[int] = []  # those of the plain ones, then those of the others
        others: list[int] = []
        parts: list[Argument] = []
        for place, item in enumerate(items):
            lease, outcome = item.lease, item.outcome
            if (
                type(outcome) is Succeeded
                and not outcome.result
                and lease.epoch == 1
                and len(lease.job_id) == ID_LENGTH
                and lease.job_id.isascii()
            ):
                plain.append(lease.job_id)
                places.append(place)
                continue
            code, content = _outcome(outcome)
            parts += (lease.job_id, f"{lease.epoch}{code}", content)
            others.append(place)
        again = bool(self._unheard) and any(item.lease in self._unheard for item in items)
        flags: bytes = await self._session.run("settle", worker, "".join(plain), *parts, repeat=again)
        if not (plain and others):
            return flags
        by_place = dict(zip(places + others, flags, strict=True))
        return bytes(by_place[place] for place in range(len(items)))


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
