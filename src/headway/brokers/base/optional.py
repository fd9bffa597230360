"""What some carriers can and others cannot: each is a part that `Capabilities` names, or None."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from headway.control import KEPT_VERSIONS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from headway.brokers.base.broker import Enqueued
    from headway.control import ControlDocument, Fence
    from headway.figures.gatherer import Delta
    from headway.figures.values import Figures
    from headway.job import JobId, JobRecord, NewJob


class BlockingStore(Protocol):
    """A carrier that takes jobs from blocking callers without a turn of its loop."""

    def enqueue_blocking(self, job: NewJob) -> bool:
        """Accept the job, from any thread; false when it is to be enqueued as usual, as the same job."""
        ...


class Traffic(Struct, frozen=True):
    """What a carrier's client came to in this process: connections now, and commands since the start."""

    connections: int = 0
    commands: int = 0


class Connected(Protocol):
    """A carrier at the other end of a connection, which repeats calls for seconds before it gives one up."""

    @property
    def trouble(self) -> str:
        """What has kept it from being reached for some seconds; empty: nothing that is known."""
        ...

    @property
    def traffic(self) -> Traffic:
        """What its client came to in this process; asks nobody."""
        ...


class Starter(Protocol):
    """A carrier that can send jobs on their way before anything is awaited."""

    def begin_enqueue(self, jobs: Sequence[NewJob]) -> asyncio.Future[list[Enqueued] | None] | None:
        """Send the jobs, if that can be done at once.

        When it returns None, or the future gives it, they are to be enqueued as usual, as the same jobs.
        """
        ...


class KeyIndex(Protocol):
    """Asks who holds what makes jobs one of a kind, so that it holds over several carriers of an app as well.

    A unique key stands in the way of a job by the job's mode: always while its holder waits or runs (`reject`,
    `keep_last`), while the holder waits (`debounce`), or within the window (`throttle`).
    """

    async def find_held(self, jobs: Sequence[NewJob]) -> list[JobId | None]:
        """Return for each job the id of the one that stands in its way here; None: nothing does. Changes nothing.

        That is the holder of its idempotency key, or of its unique key, or the job of the last fire time accepted of
        its schedule when its own is not later. It is the job's own id where that was accepted here before, or where
        nobody knows which job the fire was.
        """
        ...

    async def enqueue_held(self, jobs: Sequence[NewJob]) -> list[Enqueued | None]:
        """As `enqueue`, but leave out (None) each job whose unique key stands in no one's way here; in one step.

        So a carrier to which no route leads any more gets no new holders, and once a key is free there it stays free.
        Each job must have a unique key; ValueError.
        """
        ...


class Mover(Protocol):
    """Gives waiting jobs away, so that another carrier of the app can take them.

    A move is: withdraw here, enqueue `record.as_new()` there, then remove here what is withdrawn. Whoever finds it
    interrupted lists the cancelled jobs whose records say `withdrawn` under its reason, and does the last two steps.
    """

    async def withdraw(self, ids: Sequence[JobId], reason: str) -> list[JobRecord | None]:
        """End waiting jobs here at once, as cancelled with this reason, and return their records as they were before.

        None for each that stays as it is: one that runs, has ended, is overdue or unknown, and one that is bound to
        this carrier, because its unique key has somebody waiting for the holder's end. A running job is not asked to
        end.

        A withdrawn job goes on holding its idempotency key, and a unique key with which it refuses others, until it is
        removed: in between it may be nowhere else yet. A unique key under which it would be replaced is free.

        Records of withdrawn jobs stay, payload included, for the time that cancelled jobs are kept, an hour at least,
        and no cap drops them. Repeated under the same reason, a call answers the same for those withdrawn before: no
        answer is lost. A withdrawn job is not retried by hand; it comes back by `enqueue` with a `past` of a higher
        epoch.
        """
        ...


class ControlStore(Protocol):
    """Where an app keeps the documents by which it is steered, such as its routes: small, versioned, by name.

    Names have 1 to 200 characters that can be printed; ConfigError.
    """

    async def read_control(self, name: str, *, newer_than: int = 0) -> ControlDocument | None:
        """Return the present version, unless it is `newer_than`, the one that the reader has; None: nothing to read.

        One cheap command. A lower version than the reader's is returned as well: the store was emptied, or restored
        from an earlier state.
        """
        ...

    async def write_control(
        self,
        name: str,
        body: bytes,
        *,
        expected: int,
        fence: Fence | None = None,
        keep: int = KEPT_VERSIONS,
    ) -> int | None:
        """Write the version that follows on `expected` (0: there is no document yet), and return its number.

        None, and nothing is written: another version is there, or `fence` is stale. The last 100 versions are kept, or
        as few as `keep`: 1 for a document that is written every other second.
        A body has at most 256 KiB; BrokerRefusedError names the document. The fence may be that of another name.
        """
        ...

    async def control_history(self, name: str, limit: int = 100) -> list[ControlDocument]:
        """Return the last versions, the present one first."""
        ...

    async def hold_control(self, name: str, holder: str, ttl_ms: int) -> Fence | None:
        """Take a lease of `ttl_ms` by the store's clock; the same holder extends it. None: somebody else has it.

        A lease that ended is taken anew, under a higher token, also by the holder that had it.
        """
        ...

    async def release_control(self, fence: Fence) -> None:
        """End the lease at once; nothing happens when the fence is stale."""
        ...


class FiguresStore(Protocol):
    """A store of counts: the processes of an app add theirs, and judges and displays read the sums.

    Kept are 48 hours by the minute and 30 days by the half hour, fewer where there are very many rows:
    `headway.figures.values` has the bounds. By the store's clock.
    """

    async def add_figures(self, delta: Delta) -> None:
        """Add what one process has gathered, in one call unless it is much.

        Nothing happens when that delta, or a later one, is there.

        So a write whose answer was lost is repeated as it was. What is older than figures are kept is left out.
        """
        ...

    async def figures(
        self, since_ms: int, until_ms: int, *, queue: str | None = None, coarse: bool = False
    ) -> Figures:
        """Return the sums of the minutes that begin in [since_ms, until_ms); of one queue if it is given.

        Instants are epoch ms. `coarse`: in half hours instead, for as long as 30 days back. Nothing is left out
        silently within the time that figures are kept; an error is raised when they cannot be read.
        """
        ...
