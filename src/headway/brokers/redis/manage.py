"""Commands of operators: cancel, remove, retry, promote, drain, clean, pause."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from headway.brokers.base import CancelResult
from headway.brokers.redis.records import LETTERS, STATES
from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.redis.session import Session
    from headway.job import JobId, JobState

_BATCH: Final = 1000  # jobs per script call: each is some milliseconds of the server's time


def _name() -> str:
    """Name a call: its repeat, sent when an answer was lost, then gets the answer of the first."""
    return secrets.token_hex(8)


async def cancel(session: Session, ids: Sequence[JobId], reason: str) -> list[CancelResult]:
    """Cancel waiting jobs; leave a request for running ones."""
    results: list[CancelResult] = []
    for first in range(0, len(ids), _BATCH):
        some = ids[first : first + _BATCH]
        letters = await session.run("cancel", reason, *some)
        results += [CancelResult(one, STATES.get(letter)) for one, letter in zip(some, letters, strict=True)]
    return results


async def act(session: Session, name: str, ids: Sequence[JobId]) -> list[bool]:
    """Run the script `remove`, `retry` or `promote`; return for each job whether it applied."""
    done: list[bool] = []
    for first in range(0, len(ids), _BATCH):
        done += [bool(one) for one in await session.run(name, _name(), *ids[first : first + _BATCH])]
    return done


async def drain(session: Session, queue: str) -> int:
    """Remove all waiting jobs of a queue; return how many."""
    removed, rank = 0, 0
    while rank >= 0:
        some, rank = await session.run("drain", _name(), queue, _BATCH, rank)
        removed += some
    return removed


async def clean(session: Session, state: JobState, older_than_ms: int, queue: str | None, limit: int) -> int:
    """Remove up to `limit` jobs that ended in `state` more than `older_than_ms` ago; return how many."""
    if not state.terminal:
        msg = f"clean: {state.value} is not a terminal state"
        raise ConfigError(msg)
    removed, place = 0, 0
    while place >= 0 and removed < limit:
        some, place = await session.run(
            "clean", _name(), LETTERS[state], older_than_ms, queue or "", _BATCH, limit - removed, place
        )
        removed += some
    return removed


async def pause(session: Session, queue: str) -> None:
    """Let no worker claim jobs of the queue."""
    await session.command("SADD", f"{session.prefix}paused", queue)


async def resume(session: Session, queue: str) -> None:
    """Let workers claim jobs of the queue again."""
    await session.run("resume", queue)
