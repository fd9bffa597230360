"""The leases of the jobs under way, renewed before a third of their length is over."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, assert_never

from headway.brokers.base import LeaseState
from headway.errors import BrokerError
from headway.runtime.run import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

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
        for run, state in await _renew(broker, due, lease_ms):
            renewed[run] = now
            _heed(run, state, running)


async def _renew(
    broker: PushBroker, runs: Sequence[JobRun], lease_ms: int
) -> list[tuple[JobRun, LeaseState]]:
    """Return what became of each lease that could be asked for; never raises, for all other leases hang on that."""
    if not runs:
        return []
    try:
        states = await broker.extend([run.delivery.lease for run in runs], lease_ms)
        return list(zip(runs, states, strict=True))
    except BrokerError as error:
        _log.warning("%d leases could not be renewed: %s", len(runs), error)
    except Exception:  # noqa: BLE001 - logged
        if len(runs) > 1:
            # One damaged entry must not cost the others their leases, nor a request to cancel its way.
            return [pair for run in runs for pair in await _renew(broker, [run], lease_ms)]
        _log.exception("job %s: its lease could not be renewed", runs[0].delivery.lease.job_id)
    return []


def _heed(run: JobRun, state: LeaseState, running: Callable[[], Collection[JobRun]]) -> None:
    match state:
        case LeaseState.HELD:
            pass
        case LeaseState.CANCEL_REQUESTED:
            run.interrupt(Stop.CANCEL, "cancelled while it ran")
        case LeaseState.LOST:
            if run in running():
                _log.warning("job %s: its lease was lost; it is given up", run.delivery.lease.job_id)
                run.interrupt(Stop.LOST)
        case _:
            assert_never(state)
