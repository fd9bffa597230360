"""What is found and what becomes of it, by queue and state: the rows of a plan and of a report. Bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from headway.migrate.found import FoundState
from headway.text import storable

if TYPE_CHECKING:
    from headway.migrate.deciding import Intent
    from headway.migrate.found import FoundJob

EXAMPLES: Final = 3
_MAX_REASONS: Final = 20  # of one row, told apart; further ones are counted together
_MAX_WORDS: Final = 300
_MAX_NAMES: Final = 50
_MAX_NAME: Final = 80  # characters of one in an example
_OTHERS: Final = "(others)"


class Reason(Struct):
    """Why jobs stay where they are: how many, and three of them by id and name."""

    count: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def note(self, source_id: str, name: str) -> None:
        """Count one."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append((storable(source_id, _MAX_NAME), storable(name, _MAX_NAME)))


class Row(Struct):
    """The jobs of one queue in one state. Instants are ms since 1970 UTC."""

    queue: str
    state: FoundState
    found: int = 0
    moved: int = 0  # of a plan: would be moved
    left: int = 0
    refused: int = 0
    gone: int = (
        0  # no longer there when they were to be taken: their workers, or another migrator, were first
    )
    oldest_ms: int | None = None
    first_due_ms: int | None = None
    last_due_ms: int | None = None
    carriers: dict[str, int] = field(default_factory=dict[str, int])
    names: dict[str, int] = field(
        default_factory=dict[str, int]
    )  # of the jobs, and how many there are of each
    why_left: dict[str, Reason] = field(default_factory=dict[str, Reason])
    why_refused: dict[str, Reason] = field(default_factory=dict[str, Reason])


class Census:
    """The rows, as they grow."""

    def __init__(self) -> None:
        """Nothing is found yet."""
        self.expected: dict[
            tuple[str, FoundState], int
        ] = {}  # about how many there were before the look began
        self._rows: dict[tuple[str, FoundState], Row] = {}

    @property
    def rows(self) -> list[Row]:
        """The rows, by queue and state."""
        return [self._rows[key] for key in sorted(self._rows, key=lambda one: (one[0], one[1].value))]

    @property
    def found(self) -> int:
        """How many were found in all."""
        return sum(row.found for row in self._rows.values())

    @property
    def moved(self) -> int:
        """How many were moved in all."""
        return sum(row.moved for row in self._rows.values())

    @property
    def refused(self) -> int:
        """How many were refused in all."""
        return sum(row.refused for row in self._rows.values())

    @property
    def left(self) -> int:
        """How many were left in all."""
        return sum(row.left for row in self._rows.values())

    def row(self, queue: str, state: FoundState) -> Row:
        """Return a row, made when it is first asked for."""
        key = queue, state
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = Row(queue, state)
        return row

    def expect(self, queue: str, state: FoundState, count: int) -> None:
        """Note about how many there are to look at: for a bar."""
        self.expected[queue, state] = self.expected.get((queue, state), 0) + count

    def note_found(self, job: FoundJob) -> Row:
        """Count a job that was found."""
        row = self.row(job.queue, job.state)
        row.found += 1
        name = storable(job.name, _MAX_WORDS)
        if name not in row.names and len(row.names) >= _MAX_NAMES:
            name = _OTHERS
        row.names[name] = row.names.get(name, 0) + 1
        if job.instant_ms:
            row.oldest_ms = _least(row.oldest_ms, job.instant_ms)
        if job.due_ms is not None:
            row.first_due_ms = _least(row.first_due_ms, job.due_ms)
            row.last_due_ms = max(row.last_due_ms or job.due_ms, job.due_ms)
        return row

    def note_moved(self, job: FoundJob, intent: Intent) -> None:
        """Count a job that was moved, or would be."""
        row = self.row(job.queue, job.state)
        row.moved += 1
        row.carriers[intent.carrier] = row.carriers.get(intent.carrier, 0) + 1

    def note_left(self, job: FoundJob, why: str) -> None:
        """Count a job that is left."""
        row = self.row(job.queue, job.state)
        row.left += 1
        _reason(row.why_left, why).note(job.source_id, job.name)

    def note_refused(self, job: FoundJob, why: str) -> None:
        """Count a job that is refused."""
        row = self.row(job.queue, job.state)
        row.refused += 1
        _reason(row.why_refused, why).note(job.source_id, job.name)

    def note_gone(self, job: FoundJob) -> None:
        """Count a job that was no longer there."""
        self.row(job.queue, job.state).gone += 1


def _reason(reasons: dict[str, Reason], why: str) -> Reason:
    text = storable(why, _MAX_WORDS)
    if text not in reasons and len(reasons) >= _MAX_REASONS:
        text = _OTHERS
    return reasons.setdefault(text, Reason())


def _least(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)
