"""How a migration stands, as its commands tell it: who runs what, what became of the jobs so far, by queue and state.

Bounded, whatever a source holds, and without secrets: no URL with a password, nothing of a job but its id and name.
"""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from headway.migrate.found import FoundState
from headway.text import storable

MAX_RUNS: Final = 12
"""Runs of commands that are kept of a migration, the newest first."""
MAX_ROWS: Final = 200
"""Rows of queue and state; the queues beyond are added up in rows of OTHERS."""
MAX_REASONS: Final = 40
MAX_LINES: Final = 40
"""RepeatingEntry entries that are named."""
MAX_TROUBLES: Final = 10
MAX_NAME: Final = 100
"""Characters of a queue's name, of who runs a command, of an id or a name in an example."""
MAX_WORDS: Final = 300
OTHERS: Final = "(others)"
EXAMPLES: Final = 3
FORMAT: Final = 1


class Command(StrEnum):
    """The commands that tell how they get on."""

    APPLY = "apply"
    FORWARD = "forward"
    VERIFY = "verify"
    REVERT = "revert"


class Outcome(StrEnum):
    """How a run ended."""

    DONE = "done"
    STOPPED = "stopped"  # by Ctrl-C or a signal, before its end
    FAILED = "failed"  # `error` says why


class Row(Struct, frozen=True):
    """The jobs of one queue by the state in which they were found; `found` is the sum of all."""

    queue: str
    state: FoundState
    moved: int = 0
    left: int = 0
    refused: int = 0
    reverted: int = 0
    pending: int = 0  # not looked at yet, or to be moved by the next `apply`
    under_way: int = 0  # taken, and nobody has finished them yet: only `verify` counts them

    @property
    def found(self) -> int:
        """All of them."""
        return self.moved + self.left + self.refused + self.reverted + self.pending + self.under_way

    @property
    def key(self) -> tuple[str, FoundState]:
        """What tells a row from the others."""
        return self.queue, self.state


class MigrationExample(Struct, frozen=True):
    """A job, by its id and name in the source."""

    source_id: str
    name: str = ""


class MigrationReason(Struct, frozen=True):
    """MigrationReason jobs stay where they are."""

    queue: str
    state: FoundState
    refused: bool  # else left
    why: str
    count: int
    examples: tuple[MigrationExample, ...] = ()


class RepeatingEntry(Struct, frozen=True):
    """What became of a repeating entry of the source."""

    queue: str
    source_id: str
    outcome: str
    schedule: str = ""
    why: str = ""


class MigrationTrouble(Struct, frozen=True):
    """A job that is not as it should be, or that does not go back."""

    queue: str
    source_id: str
    job_id: str
    why: str


class Verdict(Struct, frozen=True):
    """What the last `verify` found."""

    sound: bool
    at_ms: int
    who: str
    compared: int = 0  # jobs whose arguments were compared
    dropped: int = 0  # moved ones whose records are kept no longer: they ended
    troubles: tuple[MigrationTrouble, ...] = ()
    more_troubles: int = 0


class Run(Struct, frozen=True):
    """One run of a command. Instants are ms since 1970 UTC, by the clock of the store."""

    id: str
    command: Command
    who: str
    started_ms: int
    seen_ms: int
    ended_ms: int | None = None
    outcome: Outcome = Outcome.DONE  # once it has ended
    error: str = ""
    queues: int = 0  # how many it was about
    looked_at: int = 0  # jobs
    total: int = 0  # about how many there are to look at; 0: nobody can say
    rate: float = 0.0  # jobs a second, of the last seconds
    left_s: float | None = None
    moved: int = 0
    refused: int = 0
    reverted: int = 0
    stays: tuple[MigrationTrouble, ...] = ()  # of a `revert`: what has started here
    more_stays: int = 0


class Migration(Struct, frozen=True):
    """Jobs that come from one source: what was done with them, and by whom.

    `words` are the options of the commands without the source's URL, so that they can be shown to be run again.
    """

    id: str
    kind: str
    server: str  # the source's URL without user, password and options
    identity: str  # what tells two sources on one server apart, such as a prefix
    words: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()  # the newest first
    rows: tuple[Row, ...] = ()
    reasons: tuple[MigrationReason, ...] = ()
    repeating: tuple[RepeatingEntry, ...] = ()
    more_repeating: int = 0
    verdict: Verdict | None = None
    format: int = FORMAT


def migration_id(kind: str, server: str, identity: str) -> str:
    """Return the id of the migration of a source: whoever runs a command on it comes to the same one."""
    return blake2b(f"{kind}\0{server}\0{identity}".encode(errors="replace"), digest_size=8).hexdigest()


def name_of(text: str) -> str:
    """Return a name as it is kept."""
    return storable(text, MAX_NAME)


def words_of(text: str) -> str:
    """Return a reason as it is kept."""
    return storable(text, MAX_WORDS)


def with_run(migration: Migration, run: Run) -> Migration:
    """Put the run in the place of what is known of it, or before all others."""
    others = tuple(one for one in migration.runs if one.id != run.id)
    if len(others) < len(migration.runs):
        runs = tuple(run if one.id == run.id else one for one in migration.runs)
    else:
        runs = (run, *others)
    return replace(migration, runs=runs[:MAX_RUNS])


def bounded_rows(rows: dict[tuple[str, FoundState], Row]) -> tuple[Row, ...]:
    """Return the rows by queue and state; beyond the bound, those of the last queues are added up."""
    ordered = [rows[key] for key in sorted(rows, key=lambda one: (one[0] == OTHERS, *one))]
    if len(ordered) <= MAX_ROWS:
        return tuple(ordered)
    first = MAX_ROWS - len(FoundState)
    rest: dict[FoundState, Row] = {}
    for row in ordered[first:]:
        rest[row.state] = added(rest.get(row.state, Row(OTHERS, row.state)), row)
    return (*ordered[:first], *rest.values())


def added(one: Row, other: Row) -> Row:
    """Return the sum of two rows, under the name of the first."""
    return Row(
        one.queue,
        one.state,
        one.moved + other.moved,
        one.left + other.left,
        one.refused + other.refused,
        one.reverted + other.reverted,
        one.pending + other.pending,
        one.under_way + other.under_way,
    )
