"""The leases of the jobs under way, renewed before a third of their length is over."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, assert_never

from headway.brokers.base import LeaseState
from headway.errors import BrokerUnavailableError
from headway.raised import in_one_line, trace_of
from headway.runtime.run import Stop
from headway.service import must_go_on

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from headway.brokers.base import PushBroker
    from headway.runtime.run import JobRun
    from headway.service import Remarks

_log = logging.getLogger("headway.push")
_LOOKS_PER_LEASE: Final = 6
_RENEWALS_PER_LEASE: Final = 3


class Renewal:
    """Renews the leases of the jobs under way, round by round."""

    def __init__(
        self, broker: PushBroker, lease_ms: int, running: Callable[[], Collection[JobRun]], remarks: Remarks
    ) -> None:
        self._broker = broker
        self._lease_ms = lease_ms
        self._running = running
        self._remarks = remarks
        self._renewed: dict[JobRun, float] = {}

    async def round(self) -> float:
        """Renew what is due, and stop what is asked to be cancelled or was taken over.

        A job that is done within a third of the lease costs nothing here.
        """
        now = time.monotonic()
        lease = self._lease_ms / 1000
        runs = self._running()
        self._renewed = {run: at for run, at in self._renewed.items() if run in runs}
        due = [
            run
            for run in runs
            if run.stop is not Stop.LOST
            and self._renewed.get(run, run.started) <= now - lease / _RENEWALS_PER_LEASE
        ]
        for run, state in await self._renew(due):
            self._renewed[run] = now
            _heed(run, state, self._running)
        return lease / _LOOKS_PER_LEASE

    async def _renew(self, runs: Sequence[JobRun]) -> list[tuple[JobRun, LeaseState]]:
        """Return what became of each lease; raises only for what concerns all of them."""
        if not runs:
            return []
        try:
            states = await self._broker.extend([run.delivery.lease for run in runs], self._lease_ms)
            return list(zip(runs, states, strict=True))
        except BaseException as error:
            if must_go_on(error) or isinstance(error, BrokerUnavailableError):
                raise
            if len(runs) > 1:
                # One damaged entry must not cost the others their leases, nor a request to cancel its way.
                return [pair for run in runs for pair in await self._renew([run])]
            entry = f"job {runs[0].delivery.lease.job_id}"
            what = f"its lease could not be renewed: {in_one_line(error)}"
            self._remarks.say(entry, what, detail=trace_of(error))
        return []


def _heed(run: JobRun, state: LeaseState, running: Callable[[], Collection[JobRun]]) -> None:
    match state:
        case LeaseState.HELD:
            pass
        case LeaseState.CANCEL_REQUESTED:
            run.interrupt(Stop.CANCEL)
        case LeaseState.LOST:
            if run in running():
                _log.warning("job %s: its lease was lost; it is given up", run.delivery.lease.job_id)
                run.interrupt(Stop.LOST)
        case _:
            assert_never(state)
