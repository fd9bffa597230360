"""The leases of the jobs under way, renewed before a third of their length is over."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from headway.brokers.base import LeaseState
from headway.errors import BrokerError
from headway.runtime.run import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from headway.brokers.base import PushBroker
    from headway.runtime.run import JobRun

_log = logging.getLogger("headway.push")
_LOOKS_PER_LEASE: Final = 6
_RENEWALS_PER_LEASE: Final = 3


async def keep_leases(broker: PushBroker, lease_ms: int, running: Callable[[], Collection[JobRun]]) -> None:
    """Renew until cancelled. What is asked to be cancelled, or was taken over, is stopped.

    A job that is done within a third of the lease costs nothing here.
    """
    renewed: dict[JobRun, float] = {}
    while True:
        await asyncio.sleep(lease_ms / 1000 / _LOOKS_PER_LEASE)
        now = time.monotonic()
        runs = running()
        renewed = {run: at for run, at in renewed.items() if run in runs}
        due = [
            run
            for run in runs
            if run.stop is not Stop.LOST
            and renewed.get(run, run.started) <= now - lease_ms / 1000 / _RENEWALS_PER_LEASE
        ]
        if not due:
            continue
        try:
            states = await broker.extend([run.delivery.lease for run in due], lease_ms)
        except BrokerError as error:
            _log.warning("%d leases could not be renewed: %s", len(due), error)
            continue
        for run, state in zip(due, states, strict=True):
            renewed[run] = now
            match state:
                case LeaseState.HELD:
                    pass
                case LeaseState.CANCEL_REQUESTED:
                    run.interrupt(Stop.CANCEL, "cancelled while it ran")
                case LeaseState.LOST:
                    if run in running():
                        _log.warning("job %s: its lease was lost; it is given up", run.delivery.lease.job_id)
                        run.interrupt(Stop.LOST)
