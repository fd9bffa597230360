"""Where jobs are brought to: the carriers of an app, each job to the one that its route names.

The carrier is chosen once, before the job leaves its source, and noted there: a route that changes meanwhile must not
send one job two ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    CodecError,
    EnqueueError,
    PartlyAcceptedError,
    PayloadMissingError,
)
from headway.job import JobRecord, JobState
from headway.migrate.deciding import Refused, digest_of, with_carrier
from headway.offload.payloads import whole
from headway.routing.carriers.broker import RoutedBroker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headway.app.app import Headway
    from headway.brokers.base import Enqueued, Store
    from headway.job import JobId, NewJob
    from headway.migrate.deciding import Intent

_DAY_MS: Final = 86_400_000
_SPARED_MS: Final = 60_000  # for so long carriers keep what has completed, whatever their cap
_CAPPED: Final = (JobState.SUCCEEDED, JobState.CANCELLED, JobState.EXPIRED)


class Located(Struct, frozen=True):
    """A job's record, and the carrier that has it."""

    carrier: str
    record: JobRecord


class Destination:
    """The carriers of an app that is open on this loop."""

    def __init__(self, app: Headway) -> None:
        """The app stays open as long as this is used."""
        self._app = app
        self._carriers: Mapping[str, Store] = app.carriers
        self._first = next(iter(self._carriers))

    async def freshen(self) -> None:
        """Learn of changes of the routes."""
        front = self._app.carrier
        if isinstance(front, RoutedBroker) and front.router.stale:
            await front.router.freshen()

    def routed(self, intent: Intent, entry: Callable[[], str]) -> Intent | Refused:
        """Return the intent with its carrier; or why that cannot take the job. `entry` makes the name of its entry."""
        front = self._app.carrier
        name = self._first
        if isinstance(front, RoutedBroker):
            name = front.router.choose(intent.as_job(entry(), 0))
        why = self._unfit(name, intent)
        return Refused(why) if why else with_carrier(intent, name)

    def _unfit(self, name: str, intent: Intent) -> str:
        able = self._carriers[name].capabilities
        offload = self._app.offload
        if len(intent.payload) > able.max_payload and offload is None:
            return f"{able.name} takes payloads of {able.max_payload} bytes, this has {len(intent.payload)}"
        if able.max_delay_ms is not None and intent.due_ms is not None:
            delay_ms = intent.due_ms - self._app.clock.now_ms()
            if delay_ms > able.max_delay_ms:
                return (
                    f"it is due in {delay_ms / _DAY_MS:.1f} days, and {able.name} takes "
                    f"{able.max_delay_ms / _DAY_MS:g} at most: bring it along later"
                )
        return ""

    def serves(self, carrier: str) -> bool:
        """Tell whether the app has a carrier of that name: a ledger may be older than the settings."""
        return carrier in self._carriers

    async def enqueue(self, carrier: str, jobs: Sequence[NewJob]) -> dict[JobId, str | Enqueued]:
        """Enqueue jobs on a carrier; return its answers, and a reason for each that it refuses.

        BrokerUnavailableError when it does not answer: some may have been accepted, and a second call is harmless.
        """
        store = self._carriers[carrier]
        offload = self._app.offload
        if offload is not None:
            jobs = await offload.shrunk(jobs, store.capabilities.max_payload)
        front = self._app.carrier
        named = [job for job in jobs if job.named]
        answers: dict[JobId, str | Enqueued] = {}
        if named and isinstance(front, RoutedBroker):
            met = await front.met_before(named)
            answers = {named[n].id: one for n, one in met.items()}
        left = [job for job in jobs if job.id not in answers]
        return answers | await _enqueued(store, left)

    async def locate(self, ids: Mapping[str, Sequence[JobId]]) -> dict[JobId, Located]:
        """Return where jobs are, given by the carrier that each was sent to: it may have been moved since."""
        found: dict[JobId, Located] = {}
        for carrier, some in ids.items():
            names = [carrier] if carrier in self._carriers else []
            names += [name for name in self._carriers if name != carrier]
            missing: Sequence[JobId] = some
            for name in names:
                if not missing:
                    break
                for record in await self._carriers[name].get(missing):
                    if record is not None and (record.id not in found or found[record.id].record.withdrawn):
                        found[record.id] = Located(name, record)
                missing = [one for one in missing if one not in found or found[one].record.withdrawn]
        return found

    async def withdraw(self, carrier: str, ids: Sequence[JobId], reason: str) -> dict[JobId, JobRecord]:
        """End jobs that wait, and return them; those that do not wait any more are left out."""
        mover = self._carriers[carrier].capabilities.mover
        if mover is None:
            return {}
        return {one.id: one for one in await mover.withdraw(ids, reason) if one is not None}

    def gives_away(self, carrier: str) -> bool:
        """Tell whether jobs can be taken back from this carrier."""
        return carrier in self._carriers and self._carriers[carrier].capabilities.mover is not None

    async def take_back(self, carrier: str, record: JobRecord) -> None:
        """Enqueue a job that was withdrawn again, with all that it had."""
        await self._carriers[carrier].enqueue([record.as_new()])

    async def remove(self, carrier: str, ids: Sequence[JobId]) -> None:
        """Forget jobs that were withdrawn."""
        await self._carriers[carrier].remove(ids)

    async def may_have_dropped(self, carrier: str, age_ms: int) -> bool:
        """Tell whether the record of a job that was enqueued so long ago may have been dropped since it completed."""
        settings = self._app.settings
        if age_ms >= min(settings.keep_succeeded, settings.keep_failed) * 1000:
            return True
        if age_ms < _SPARED_MS:
            return False
        counts = await self._carriers[carrier].counts()
        kept = sum(one.counts.get(state, 0) for one in counts for state in _CAPPED)
        return kept >= settings.max_succeeded

    async def digest(self, record: JobRecord) -> str | None:
        """Return the digest of what a job is called with; None when that lies in a store and is not there any more."""
        try:
            return digest_of(await whole(self._app.offload, record.payload))
        except (PayloadMissingError, CodecError):
            return None


async def _enqueued(store: Store, jobs: Sequence[NewJob]) -> dict[JobId, str | Enqueued]:
    if not jobs:
        return {}
    try:
        return dict(zip([job.id for job in jobs], await store.enqueue(jobs), strict=True))
    except BrokerUnavailableError:
        raise
    except (EnqueueError, BrokerRefusedError, PartlyAcceptedError) as error:
        if len(jobs) == 1 and not isinstance(error, PartlyAcceptedError):
            return {jobs[0].id: str(error)}
    answers: dict[JobId, str | Enqueued] = {}
    for job in jobs:  # which one it was, nobody said
        try:
            (answers[job.id],) = await store.enqueue([job])
        except (EnqueueError, BrokerRefusedError) as error:
            answers[job.id] = str(error)
    return answers
