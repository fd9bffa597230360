"""When the store says no to what is to be kept of a job under way: less and less is kept, and the reason.

A store that refuses one value (it is too large for an endpoint, say) refuses it each time. So nothing is repeated: the
log goes first, then the result and with it the job, which ends in the dead-letter state; at last its call as well.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from headway.codec import decode_history, encode_history
from headway.errors import BrokerRefusedError
from headway.guards import transitions
from headway.job import AttemptError
from headway.storage.redis.replies import ServerRefusesError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.guards.changes import Changes, Settled
    from headway.guards.document import Document
    from headway.job import Lease

    Step = Callable[[Document | None], Document | None]

_log = logging.getLogger("headway.guard")

_EARLIER: Final = 3  # errors kept beside the reason
_MAX_REASON: Final = 1000  # characters
_MAX_ERROR: Final = 4000  # characters of the traceback of an earlier error


def add_refusal(document: Document, error: BrokerRefusedError, *, now_ms: int) -> bytes:
    """Return the job's history with the reason at its end, bounded."""
    earlier = [
        AttemptError(one.attempt, one.at_ms, one.type, one.message[:_MAX_REASON], one.traceback[-_MAX_ERROR:])
        for one in decode_history(document.history)[-_EARLIER:]
    ]
    reason = AttemptError(document.attempt, now_ms, "BrokerRefusedError", str(error)[:_MAX_REASON])
    return encode_history([*earlier, reason])


class Refusals:
    """Changes of a job by its holder that end well, or end the job, unless the store refuses everything."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def change(self, lease: Lease, step: Step) -> Settled:
        """Make a change without the log if it is refused with it, else end the job; its state tells."""
        try:
            return await self._changes.change(lease.job_id, step, lease=lease)
        except ServerRefusesError:
            raise
        except BrokerRefusedError as error:
            _log.warning(
                "job %s: its log is dropped, as its entry is refused with it: %s", lease.job_id, error
            )
            return await self._shorter(lease, step, error)

    async def _shorter(self, lease: Lease, step: Step, error: BrokerRefusedError) -> Settled:
        try:
            return await self._changes.change(
                lease.job_id, lambda document: transitions.without_log(step(document)), lease=lease
            )
        except ServerRefusesError:
            raise
        except BrokerRefusedError:
            return await self._end(lease, error)

    async def _end(self, lease: Lease, error: BrokerRefusedError) -> Settled:
        now = self._changes.now_ms()
        _log.error("job %s goes to the dead-letter state: %s", lease.job_id, error)

        def ended(document: Document | None, *, whole: bool) -> Document | None:
            if document is None or not transitions.holds(document, lease):
                return None
            history = add_refusal(document, error, now_ms=now)
            return transitions.refused(document, history, now_ms=now, whole=whole)

        try:
            return await self._changes.change(
                lease.job_id, lambda document: ended(document, whole=True), lease=lease
            )
        except ServerRefusesError:
            raise
        except BrokerRefusedError:
            return await self._changes.change(
                lease.job_id, lambda document: ended(document, whole=False), lease=lease
            )
