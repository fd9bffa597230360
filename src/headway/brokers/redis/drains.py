"""Requests to drain a worker: a message tells it, and a note is left for one that is cut off when the message comes.

The note is in hash `drains`. A worker looks for it whenever its subscription is restored, and never besides: while it
is subscribed no message is lost. What it finds at its very beginning was meant for an earlier one of its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.brokers.redis import inspect

if TYPE_CHECKING:
    from headway.brokers.redis.session import Session
    from headway.job import WorkerId

_KEPT_MS: Final = 24 * 3600 * 1000  # far longer than any drain; for workers that die with their supervisor


async def ask(session: Session, worker: WorkerId) -> bool:
    """Ask a worker to drain; false: there is none of this name."""
    if all(one.id != worker for one in await inspect.workers(session)):
        return False
    await session.run("drain_worker", worker, _KEPT_MS)
    return True


async def is_asked(session: Session, worker: WorkerId) -> bool:
    """Tell whether a worker was asked."""
    return bool(await session.command("HEXISTS", f"{session.prefix}drains", worker))


async def forget(session: Session, worker: WorkerId) -> None:
    """Drop what was asked of an earlier worker of this name."""
    await session.command("HDEL", f"{session.prefix}drains", worker)
