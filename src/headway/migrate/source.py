"""What a system must offer so that its jobs can be brought along: `Source`, and the data of its ledger.

The ledger is the source's own: it lies beside its jobs, in the same server and the same slot, so that a job leaves its
queue *in the same step* that writes it there. From then on no worker of the source can take it, and nothing of it is
lost: the entry holds all of the job, and where it was. An entry is always in one status:

    (not there) --take--> TAKEN --mark--> ENQUEUED --put_back--> REVERTED
                            `--put_back--> REFUSED

and may be taken again from REFUSED and REVERTED. Whoever is killed leaves entries that are TAKEN, each with its
`intent`: what was to be enqueued, and where. That is done again, under the same job id, by whoever comes next.

A source whose jobs lie in a Redis builds on `server.py` (its connection), `ledger.py` (the ledger, read) and
`lua/ledger.lua` (the ledger, written), which its own scripts for `take` and `put_back` include.

Each method is bounded: no call to the server takes it longer than 5 ms, however many jobs there are; keys are found
with SCAN, never KEYS. Each may be repeated when its answer was lost. BrokerUnavailableError when the server does not
answer, BrokerRefusedError when it says no; never an error about one job: that is its `refusal`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from headway.migrate.found import FoundJob, FoundSchedule, FoundState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence


class Status(StrEnum):
    """What has become of a job that was taken."""

    TAKEN = "taken"  # out of the source, and perhaps enqueued: somebody has to finish it
    ENQUEUED = "enqueued"
    REFUSED = "refused"  # the carrier did not take it: it is back where it was
    REVERTED = "reverted"  # brought back by hand: it is where it was


class Wanted(Struct, frozen=True):
    """A job that is to be taken.

    `entry_id` is its name in the ledger: derived from the source's kind, the queue, its id there and its instant, so it
    is the same whoever computes it. `intent` is what is to be enqueued, encoded; `digest` that of the arguments.
    """

    job: FoundJob
    entry_id: str
    intent: bytes
    digest: str = ""


class WantedSchedule(Struct, frozen=True):
    """A repeating entry that is to be taken, as `Wanted`."""

    schedule: FoundSchedule
    entry_id: str
    intent: bytes


class Taken(Struct, frozen=True):
    """The answer for a job that left the source.

    `lives` counts how often it was put back before: each life has a job id of its own.
    """

    entry_id: str
    lives: int = 0


class Stays(Struct, frozen=True):
    """The answer for a job that is where it was, and cannot be taken now."""

    why: str


class Entry(Struct, frozen=True, kw_only=True):
    """One entry of the ledger."""

    entry_id: str
    number: int  # in the order of being taken first, from 1, without gaps: pages go by it
    source_id: str
    queue: str
    name: str
    state: FoundState  # where it was
    status: Status
    since_ms: int  # when it came into this status, by the source's clock
    lives: int = 0
    intent: bytes = b""  # dropped when it is enqueued
    digest: str = ""
    note: str = ""  # why it was refused; where it went; what it is a duplicate of
    instant_ms: int = 0
    schedule: bool = False  # a repeating entry, not a job


class EntryPage(Struct, frozen=True):
    """Entries, and the number after which the next page begins; None: there is no further one."""

    entries: tuple[Entry, ...]
    after: int | None = None


class Back(Struct, frozen=True):
    """An entry that is to go back into the source, with why. `status` is REFUSED or REVERTED."""

    entry_id: str
    source_id: str
    status: Status
    note: str = ""


class Source(Protocol):
    """A system whose jobs are brought along. Opened before use; one event loop."""

    @property
    def kind(self) -> str:
        """Its word on the command line: `bullmq`, `bull`, `arq`."""
        ...

    @property
    def identity(self) -> str:
        """What tells two sources of one kind apart that a team may bring along into one app, such as a prefix.

        Not the server's address: that may be written in several ways, and change. It becomes a part of the job ids.
        """
        ...

    async def open(self) -> None:
        """Connect. ConfigError when the server can never be what is needed (its version, its layout)."""
        ...

    async def close(self) -> None:
        """Release every connection. Closing a closed one does nothing."""
        ...

    # --- reading ------------------------------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        """Return the names of the queues, sorted: those with jobs, repeating entries, or a ledger."""
        ...

    async def counts(self, queue: str) -> Mapping[FoundState, int]:
        """Return about how many jobs there are in each state: for a progress bar, without reading them."""
        ...

    def pages(
        self, queue: str, states: Collection[FoundState], *, fresh_since_ms: int | None = None
    ) -> AsyncIterator[Sequence[FoundJob]]:
        """Yield the jobs of a queue in these states, in the order in which the source would run them.

        At most some hundred a page, and memory does not grow with the number of jobs. Jobs may be taken, added and run
        meanwhile: what waits all the while is yielded once; what comes may be left for the next call; what goes may be
        yielded and is then not there to be taken. With `fresh_since_ms` (the source's clock) jobs that were
        there before may be left out: that is how `forward` looks every half second without reading a million again.
        """
        ...

    async def repeatables(self, queue: str) -> list[FoundSchedule]:
        """Return the repeating entries of a queue, sorted by id."""
        ...

    async def logs(self, job: FoundJob) -> list[str]:
        """Return the log lines that the source keeps of a job, oldest first; at most a thousand."""
        ...

    async def now_ms(self) -> int:
        """Return the time by the server's clock."""
        ...

    # --- moving -------------------------------------------------------------------------------------------------

    async def take(self, queue: str, wanted: Sequence[Wanted]) -> list[Taken | Stays | None]:
        """Take jobs of a queue out of the source and into its ledger, as TAKEN, each in one step.

        Stays, and nothing happens: the source would be held up by taking it; it is left, and tried again later.
        None, and nothing happens: the job is no longer where and what its token says; it runs or is locked; or it is in
        the ledger already, TAKEN by somebody else or ENQUEUED. A call repeated by the same object answers as before.
        """
        ...

    async def mark(self, queue: str, entry_ids: Sequence[str], notes: Sequence[str]) -> None:
        """Make TAKEN entries ENQUEUED, each with its note. Others stay as they are."""
        ...

    async def put_back(self, queue: str, backs: Sequence[Back]) -> list[bool]:
        """Put jobs back exactly where they were, each in one step with the change of its entry's status.

        At the same end of the same list, with the same score, fields and remaining time to live; workers of the source
        are woken as if the job had just come. False, and nothing happens: the entry is neither TAKEN by this object
        nor, for REVERTED, ENQUEUED; or another job has its id in the source by now.
        """
        ...

    async def take_repeatable(self, queue: str, wanted: WantedSchedule) -> Taken | None:
        """As `take`: the entry, and the job of its next fire where the source has made it, so that it fires no more."""
        ...

    async def put_back_repeatable(self, queue: str, back: Back, *, next_ms: int | None = None) -> bool:
        """As `put_back`; with the next fire time, where others have passed meanwhile."""
        ...

    # --- the ledger ---------------------------------------------------------------------------------------------

    async def entries(
        self, queue: str, *, status: Status | None = None, after: int = 0, limit: int = 200
    ) -> EntryPage:
        """Return entries by their numbers, of one status if it is given; a page may be empty and not the last one.

        Those that are TAKEN are found without reading the others.
        """
        ...

    async def find(self, queue: str, entry_ids: Sequence[str]) -> list[Entry | None]:
        """Return the entries by their ids; None: there is none."""
        ...

    async def adopt(self, queue: str, entry_ids: Sequence[str], *, older_than_ms: int) -> list[bool]:
        """Go on with TAKEN entries: those of this object, and those of others that are as old as that.

        True: the entry is with this object now, anew. Nobody else puts it back from then on.
        """
        ...

    async def forget(self, queue: str, entry_ids: Sequence[str]) -> None:
        """Drop entries that are not TAKEN, with what they hold: they can no longer be put back."""
        ...
