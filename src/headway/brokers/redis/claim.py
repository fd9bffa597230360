"""Claim jobs; what a claim took whose answer was lost, the worker's next claim gets."""

from __future__ import annotations

import hashlib
import logging
import time
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Final

from headway.brokers.base import Claimed, QueueWant
from headway.brokers.redis.handover import Hands
from headway.brokers.redis.records import parse_header
from headway.job import ID_LENGTH, Delivery, JobId, Lease, WorkerId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.redis.records import Header
    from headway.brokers.redis.session import Kind, Session
    from headway.brokers.redis.wire.call import Argument

log = logging.getLogger("headway.redis")

_UNREADABLE: Final = "its record cannot be read: its id, its kind number or its counters are damaged"


class Claims:
    """Claims of this process. No job is lost: what a claim with a lost answer took comes with the worker's next."""

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
        """Claim jobs for a worker."""
        unheard = self._unheard.pop(worker, None)
        again = bool(unheard)
        if unheard:
            number = unheard.pop()
            if unheard:
                self._unheard[worker] = unheard
        else:
            self._last += 2  # the number between belongs to the job handed over by message
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
            next_in_ms, ids, blobs, headers, news = await self._session.run("claim", *parts, repeat=again)
            kinds = self._session.learn_kinds(news)
            deliveries, damaged = _deliveries(worker, _taken_apart(ids), blobs, headers, kinds)
            if damaged:
                await self._bury(worker, damaged)
                next_in_ms = 0  # the script relies on these jobs to keep the worker busy
        except BaseException:
            self._unheard.setdefault(worker, []).append(number)
            raise
        early = () if hands is None else hands.claim_answered(number)
        if early:
            deliveries = [*early, *deliveries]
            # For the server, a worker that was handed a job is no longer idle, until its next claim.
            next_in_ms = 0
        return Claimed(deliveries, None if next_in_ms < 0 else next_in_ms)

    async def _bury(self, worker: WorkerId, damaged: Sequence[tuple[bytes, bytes]]) -> None:
        parts: list[Argument] = [worker, ""]
        for job_id, epoch in damaged:
            parts += (job_id, epoch + b"B", _UNREADABLE)
            log.warning(
                "job %s goes to the dead-letter state: %s", job_id.decode(errors="replace"), _UNREADABLE
            )
        await self._session.run("settle", *parts)


def _merged(wants: Sequence[QueueWant]) -> list[QueueWant]:
    """Return one want for each queue."""
    limits: dict[str, int] = {}
    for want in wants:
        limits[want.queue] = limits.get(want.queue, 0) + want.limit
    return [QueueWant(queue, limit) for queue, limit in limits.items()]


@lru_cache(maxsize=512)  # a worker names its queues in as many orders
def _class_of(queues: tuple[str, ...]) -> str:
    return hashlib.sha1(
        "\0".join(sorted(queues)).encode(errors="surrogatepass"), usedforsecurity=False
    ).hexdigest()[:16]


@lru_cache(maxsize=4096)
def _measured(queue: str) -> str:
    """Write a queue's name behind its length in bytes; one that UTF-8 cannot write is refused when the call is sent."""
    return f"{len(queue.encode(errors='surrogatepass'))}:{queue}"


def _taken_apart(ids: bytes | list[bytes]) -> list[bytes]:
    """Return the ids as a list; the script joins those of the usual length."""
    if isinstance(ids, bytes):
        return [ids[at : at + ID_LENGTH] for at in range(0, len(ids), ID_LENGTH)]
    return ids


def _deliveries(
    worker: WorkerId,
    ids: Sequence[bytes],
    blobs: Sequence[bytes],
    headers: Sequence[bytes | None],
    kinds: Mapping[bytes, Kind],
) -> tuple[list[Delivery], list[tuple[bytes, bytes]]]:
    """Return the claimed jobs, and ids and epochs of those that cannot be read. No `headers`: epochs are 1."""
    deliveries: list[Delivery] = []
    damaged: list[tuple[bytes, bytes]] = []
    number, kind = b"", None
    for raw_id, blob, text in zip(ids, blobs, headers or repeat(None, len(ids)), strict=True):
        if not number or not blob.startswith(number):  # most have the kind of the one before
            number = blob.partition(b":")[0] + b":"
            kind = kinds.get(number[:-1])
        try:
            job_id = JobId(raw_id.decode())
            header = None if text is None else parse_header(text)
        except ValueError:
            job_id, header = None, None
        if kind is None or job_id is None:
            damaged.append((raw_id, b"1" if text is None else text.split(b"|", 2)[1]))
            continue
        lease = Lease(job_id, worker, 1 if header is None else header.epoch)
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
        due_ms=header.due_ms,
    )
