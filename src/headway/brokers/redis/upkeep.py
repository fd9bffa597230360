"""Maintenance: due jobs become ready, jobs of dead workers are reclaimed, old records are removed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from headway.brokers.base import Tended

if TYPE_CHECKING:
    from headway.brokers.redis.session import Session

_log: Final = logging.getLogger("headway.redis")


async def tend(session: Session) -> Tended:
    """Do one bounded round of maintenance."""
    retention = session.retention
    promoted, expired, reclaimed, pruned, mended, next_in_ms, _ = await session.run_timed(
        "tend", retention.succeeded_ms, retention.failed_ms, retention.max_succeeded
    )
    if mended:
        _log.warning(
            "%s: %d jobs were known and stood nowhere, as after a key was deleted or overwritten; they are back",
            session.prefix.rstrip(":"),
            mended,
        )
    return Tended(promoted, expired, reclaimed, pruned, None if next_in_ms < 0 else next_in_ms, mended)
