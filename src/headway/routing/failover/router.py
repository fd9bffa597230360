"""Routes that lead round a carrier that is away: to the next one that the route of the queue allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.job import NewJob
    from headway.routing.failover.carrier import SpooledCarrier
    from headway.routing.following import Following


class FailingOver:
    """Chooses as the routes do, but for carriers whose breakers are open. Asks nobody.

    A job with a name (a key, a unique key, a fire time) goes nowhere else: only its own carrier knows who holds that.
    """

    def __init__(self, router: Following, carriers: Mapping[str, SpooledCarrier]) -> None:
        self._router = router
        self._carriers = dict(carriers)
        self._breakers = {name: carrier.breaker for name, carrier in carriers.items()}

    @property
    def view(self) -> tuple[object, ...]:
        """What the choices depend on: as long as it is the same, so are they."""
        return (self._router.table.version, *(breaker.admits for breaker in self._breakers.values()))

    @property
    def stale(self) -> bool:
        """See Router."""
        return self._router.stale

    async def freshen(self) -> None:
        """See Router."""
        await self._router.freshen()

    async def quiet(self) -> bool:
        """See Router."""
        return await self._router.quiet()

    def formerly(self, job: NewJob, /) -> tuple[str, ...]:
        """See Router."""
        return self._router.formerly(job)

    async def close(self) -> None:
        """See Router."""
        await self._router.close()

    def choose(self, job: NewJob, /) -> str:
        """Return the carrier of the job's route, or the next one of it that answers and can take the job."""
        return self._round(job, self._router.choose(job))

    def choose_at_once(self, job: NewJob, /) -> str | None:
        """Return the same; None when something has to be learned or asked before."""
        name = self._router.choose_at_once(job)
        return name if name is None or self._breakers[name].admits else self._round(job, name)

    def choose_each(self, jobs: Sequence[NewJob], /, *, named: bool) -> str | list[str]:
        """Return the carrier of all of these, or that of each."""
        chosen = self._router.choose_each(jobs, named=named)
        if isinstance(chosen, str):
            if self._breakers[chosen].admits:
                return chosen
            return [self._round(job, chosen) for job in jobs]
        return [self._round(job, name) for job, name in zip(jobs, chosen, strict=True)]

    def _round(self, job: NewJob, name: str) -> str:
        if self._breakers[name].admits or job.named or job.past is not None:
            return name
        for other in self._router.others(job, name):
            if self._breakers[other].admits and self._fits(job, other):
                return other
        return name

    def _fits(self, job: NewJob, name: str) -> bool:
        able = self._carriers[name].capabilities
        return len(job.payload) <= able.max_payload and (job.due_ms is None or able.max_delay_ms is None)
