"""From an outcome to an answer: settled with the guard, and the task of what follows made before this one ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from headway.brokers.base import PushResponse
from headway.brokers.cloudtasks.answers import answer, come_back, done
from headway.errors import BrokerError, BrokerRefusedError, ConfigError
from headway.guards.transitions import WAITING
from headway.job import Delivery, JobState, RetryAt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headway.brokers.base import Report, SettleResult
    from headway.brokers.cloudtasks.guard import Keeping
    from headway.guards.document import PushedJob
    from headway.guards.guard import Guard
    from headway.job import Outcome

_log = logging.getLogger("headway.push")

_COME_BACK_MS: Final = 1000
_MISCONFIGURED_S: Final = 60


class Settling:
    """Settles deliveries."""

    def __init__(self, guard: Guard, create: Callable[[PushedJob], Awaitable[object]]) -> None:
        """`create` makes the task of a turn; when there is one already, it does nothing."""
        self._guard = guard
        self._create = create

    async def answer(self, delivery: Delivery, outcome: Outcome) -> PushResponse:
        """Settle, make the next turn's task, answer; see PushBroker."""
        settled = await self._guard.settle(delivery.lease, outcome)
        document = settled.document
        applied = settled.applied or settled.repeated
        if document is None:
            # Its entry is lost or damaged, and nothing of it is held here. This task may be all that is left of it.
            return come_back(delivery.lease.job_id, "unknown", 5 * _COME_BACK_MS)
        if document.removed or document.state.terminal:
            return done(document, superseded=not applied)
        if applied and document.state in WAITING and isinstance(outcome, RetryAt):
            return await self.follow(document.pushed)
        # Released, or taken over by another receiver, which may run it: this task may be all that brings it back.
        # Where a later turn has a task of its own, this one's next delivery finds that out and ends.
        return come_back(document.id, document.state, _COME_BACK_MS if applied else 5 * _COME_BACK_MS)

    async def follow(self, following: PushedJob) -> PushResponse:
        """Make sure that the task of the present turn exists; before that, this one must not end."""
        try:
            await self._create(following)
        except (BrokerRefusedError, ConfigError) as error:
            # Not 503: other jobs have nothing to do with it. This one comes back, maybe to a receiver that knows more.
            _log.error("job %s: the task of its next attempt cannot be made: %s", following.job.id, error)
            return PushResponse(409, {"retry-after": str(_MISCONFIGURED_S)})
        except BrokerError as error:
            _log.warning("job %s: the task of its next attempt waits: %s", following.job.id, error)
            return PushResponse(503, {"retry-after": "5"})
        return answer(200, following.job.id, JobState.SCHEDULED)


async def report(keeping: Keeping, reports: Sequence[Report]) -> list[SettleResult]:
    """Record progress and log lines of running jobs."""
    guard = await keeping.guard("receiving jobs")
    return await guard.report(reports)
