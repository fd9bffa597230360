"""Outcomes and reports of running jobs, accepted only under the lease they were made with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from headway.brokers.base import LogLine, Progress, SettleResult
from headway.brokers.redis.records import write_log_line, write_progress
from headway.job import (
    ID_LENGTH,
    Cancelled,
    Expired,
    Failed,
    Lease,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    WorkerId,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import Report, Settlement
    from headway.brokers.redis.session import Session
    from headway.brokers.redis.wire.call import Argument

_APPLIED: Final = ord("1")


class Settles:
    """Settles jobs. One whose answer was lost is sent again marked as a repeat, so that it is not refused as stale."""

    def __init__(self, session: Session) -> None:
        """No answer was lost yet."""
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
            self._unheard.update(item.lease for item in items)  # also those of workers whose answer has come
            raise
        if self._unheard:
            self._unheard.difference_update(item.lease for item in items)
        return [SettleResult(item.lease.job_id, done) for item, done in zip(items, applied, strict=True)]

    async def _send(self, worker: WorkerId, items: Sequence[Settlement]) -> bytes:
        """Settle under one worker; return an ASCII 1 (applied) or 0 (stale lease) for each item."""
        fresh: list[str] = []
        places: list[int] = []  # of the fresh successes, then of the others
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
                fresh.append(lease.job_id)
                places.append(place)
                continue
            code, content = _outcome(outcome)
            parts += (lease.job_id, f"{lease.epoch}{code}", content)
            others.append(place)
        again = bool(self._unheard) and any(item.lease in self._unheard for item in items)
        flags: bytes = await self._session.run("settle", worker, "".join(fresh), *parts, repeat=again)
        if not (fresh and others):
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


async def report(session: Session, reports: Sequence[Report], max_log_lines: int) -> list[SettleResult]:
    """Record progress and log lines; a report under a stale lease is not applied."""
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
