"""What decides to which carrier a job goes; the routes of an app implement it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.job import NewJob


class Router(Protocol):
    """Chooses by names of carriers. Its answers ask nobody; `freshen` is what may."""

    @property
    def stale(self) -> bool:
        """True when what it knows is too old to be gone by: `freshen` first."""
        ...

    async def freshen(self) -> None:
        """Learn of changes. Never raises: who cannot reach the control store goes on with what it knows."""
        ...

    def choose(self, job: NewJob, /) -> str:
        """Return the carrier that this job goes to."""
        ...

    def choose_at_once(self, job: NewJob, /) -> str | None:
        """Return the same; None when something has to be learned or asked before."""
        ...

    def choose_each(self, jobs: Sequence[NewJob], /, *, named: bool) -> str | list[str]:
        """Return the carrier of all of these, or that of each. `named` is false when none of the jobs has a name."""
        ...

    async def quiet(self) -> bool:
        """Wait, if the routes are about to settle, until they have; true when somebody waited: then choose anew."""
        ...

    def formerly(self, job: NewJob, /) -> tuple[str, ...]:
        """Return further carriers to which jobs of the same key, unique key or schedule went before, the last first.

        Asked for such jobs alone. While it names some, one of them may hold what stands in the way of this job.
        """
        ...

    async def close(self) -> None:
        """Learn of changes no more."""
        ...
