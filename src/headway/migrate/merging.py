"""What a run of a command knows at a moment, and how that is added to what is kept of its migration; pure.

What was moved or put back is added, so that two commands at once, and one after the other, come to one sum. What stays
in the source takes the place of what was said of it before. `verify` counts anew, and what it counted stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from headway.migrate.found import FoundState
from headway.migrate.progress import Progress
from headway.migrate.status import (
    EXAMPLES,
    MAX_LINES,
    MAX_REASONS,
    MAX_TROUBLES,
    Command,
    Migration,
    MigrationExample,
    MigrationReason,
    MigrationTrouble,
    RepeatingEntry,
    Row,
    Run,
    Verdict,
    bounded_rows,
    name_of,
    with_run,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headway.migrate.apply import Applied
    from headway.migrate.census import Census, Reason
    from headway.migrate.repeatables import Line
    from headway.migrate.revert import Reverted
    from headway.migrate.verify import Verified

Key = tuple[str, FoundState]
_NOTHING_YET: Final = Progress(0, 0, 0.0, None)


class Stays(Struct, frozen=True):
    """What stays in the source, of a queue and state."""

    left: int = 0
    refused: int = 0
    pending: int = 0


class Glance(Struct, frozen=True):
    """What a run knows of its work. `accounts` are those of a `verify` that has ended."""

    progress: Progress = _NOTHING_YET
    moved: dict[Key, int] = {}  # by this run
    reverted: dict[Key, int] = {}  # by this run
    stays: dict[Key, Stays] = {}
    reasons: tuple[MigrationReason, ...] = ()
    accounts: tuple[Row, ...] = ()
    repeating: tuple[RepeatingEntry, ...] = ()
    more_repeating: int = 0
    verdict: Verdict | None = None
    resumed: int = 0  # jobs that an earlier run had taken, and this one finished
    troubles: tuple[MigrationTrouble, ...] = ()
    more_troubles: int = 0


def of_census(census: Census, progress: Progress, *, over: bool = False) -> Glance:
    """Return what an `apply` or a `forward` knows; `over`: it has looked at all."""
    rows = {(row.queue, row.state): row for row in census.rows}
    stays: dict[Key, Stays] = {}
    for key in {*rows, *census.expected}:
        row = rows.get(key)
        seen = 0 if row is None else row.found + row.gone
        pending = 0 if over else max(census.expected.get(key, 0) - seen, 0)
        if row is not None or pending:
            stays[key] = Stays(row.left if row else 0, row.refused if row else 0, pending)
    return Glance(
        progress=progress,
        moved={key: row.moved for key, row in rows.items() if row.moved},
        stays=stays,
        reasons=_reasons(census),
    )


def of_applied(done: Applied, progress: Progress, lines: Sequence[Line]) -> Glance:
    """Return what an `apply` or a `forward` came to."""
    doubtful = [
        MigrationTrouble(name_of(one.queue), name_of(one.source_id), "", "nobody can tell whether it has run")
        for one in done.doubtful[:MAX_TROUBLES]
    ]
    return replace(
        with_lines(of_census(done.census, progress, over=True), lines),
        resumed=done.resumed,
        troubles=tuple(doubtful),
        more_troubles=len(done.doubtful) - len(doubtful),
    )


def of_reverted(done: Reverted, progress: Progress) -> Glance:
    """Return what a `revert` knows."""
    stays = [
        MigrationTrouble(name_of(one.queue), name_of(one.source_id), name_of(one.job_id), words_of(one.why))
        for one in done.stayed[:MAX_TROUBLES]
    ]
    return Glance(
        progress=progress,
        reverted=dict(done.rows),
        troubles=tuple(stays),
        more_troubles=len(done.stayed) - len(stays) + done.more_stayed,
    )


def of_verified(
    found: Verified, progress: Progress, lines: Sequence[Line], *, who: str, now_ms: int
) -> Glance:
    """Return what a `verify` came to; `lines` are the repeating entries that are not as they should be."""
    rows = tuple(
        Row(
            name_of(one.queue),
            one.state,
            moved=one.moved,
            left=one.left,
            refused=one.refused,
            reverted=one.reverted,
            pending=one.pending,
            under_way=one.under_way,
        )
        for one in found.accounts.values()
    )
    named = [
        *((one.queue, one.source_id, one.job_id, one.why) for one in found.troubles),
        *((one.queue, one.source_id, "", one.why) for one in lines),
    ]
    troubles = tuple(
        MigrationTrouble(name_of(queue), name_of(source_id), name_of(job_id), words_of(why))
        for queue, source_id, job_id, why in named[:MAX_TROUBLES]
    )
    verdict = Verdict(
        sound=found.sound and not lines,
        at_ms=now_ms,
        who=name_of(who),
        compared=found.compared,
        dropped=sum(one.completed for one in found.accounts.values()),
        troubles=troubles,
        more_troubles=len(named) - len(troubles) + found.more_troubles,
    )
    return Glance(progress=progress, accounts=rows, reasons=_reasons(found.census), verdict=verdict)


def with_lines(glance: Glance, lines: Sequence[Line]) -> Glance:
    """Add what became of the repeating entries."""
    named = tuple(
        RepeatingEntry(
            name_of(one.queue), name_of(one.source_id), one.outcome, name_of(one.schedule), words_of(one.why)
        )
        for one in lines[:MAX_LINES]
    )
    return replace(glance, repeating=named, more_repeating=len(lines) - len(named))


def told(run: Run, glance: Glance, now_ms: int) -> Run:
    """Return the run with what it knows now."""
    progress = glance.progress
    return replace(
        run,
        seen_ms=now_ms,
        looked_at=progress.done,
        total=progress.total,
        rate=round(progress.rate, 1),
        left_s=None if progress.left_s is None else round(progress.left_s, 1),
        moved=sum(glance.moved.values()) + glance.resumed,
        refused=sum(one.refused for one in glance.stays.values()),
        reverted=sum(glance.reverted.values()),
        stays=glance.troubles,
        more_stays=glance.more_troubles,
    )


def begun(before: Migration, run: Run, queues: Collection[str]) -> Migration:
    """Note that a run begins: what it looks at anew is not said any more."""
    if run.command not in {Command.APPLY, Command.FORWARD}:
        return with_run(before, run)
    names = {name_of(one) for one in queues}
    # What was put back is in the source again: it is found anew, and moved, left or refused.
    rows = [
        replace(row, left=0, refused=0, pending=0, reverted=0) if row.queue in names else row
        for row in before.rows
    ]
    reasons = tuple(one for one in before.reasons if one.queue not in names)
    return replace(
        with_run(before, run), rows=tuple(one for one in rows if one.found or one.moved), reasons=reasons
    )


def merged(before: Migration, run: Run, glance: Glance, last: Glance, queues: Collection[str]) -> Migration:
    """Add what a run knows now to what is kept; `last` is what it knew when that was written."""
    rows = {row.key: row for row in before.rows}
    for (queue, state), count in glance.moved.items():
        _add(rows, queue, state, moved=count - last.moved.get((queue, state), 0))
    for (queue, state), count in glance.reverted.items():
        back = count - last.reverted.get((queue, state), 0)
        _add(rows, queue, state, moved=-back, reverted=back)
    for (queue, state), stays in glance.stays.items():
        key = name_of(queue), state
        rows[key] = replace(
            rows.get(key, Row(*key)), left=stays.left, refused=stays.refused, pending=stays.pending
        )
    names = {name_of(one) for one in queues}
    if glance.verdict is not None:
        rows = {key: row for key, row in rows.items() if row.queue not in names}
        rows |= {row.key: row for row in glance.accounts if row.found}
    reasons = before.reasons
    if glance.stays or glance.verdict is not None:
        kept = tuple(one for one in before.reasons if one.queue not in names)
        reasons = tuple(sorted((*kept, *glance.reasons), key=_weight)[:MAX_REASONS])
    has_lines = bool(glance.repeating)
    return replace(
        with_run(before, run),
        rows=bounded_rows(rows),
        reasons=reasons,
        repeating=glance.repeating if has_lines else before.repeating,
        more_repeating=glance.more_repeating if has_lines else before.more_repeating,
        verdict=glance.verdict or before.verdict,
    )


def _add(rows: dict[Key, Row], queue: str, state: FoundState, *, moved: int = 0, reverted: int = 0) -> None:
    key = name_of(queue), state
    row = rows.get(key, Row(*key))
    rows[key] = replace(row, moved=max(row.moved + moved, 0), reverted=row.reverted + reverted)


def _weight(one: MigrationReason) -> tuple[bool, int]:
    return not one.refused, -one.count


def _reasons(census: Census) -> tuple[MigrationReason, ...]:
    found = [
        _why(row.queue, row.state, why, reason, refused=refused)
        for row in census.rows
        for refused, reasons in ((True, row.why_refused), (False, row.why_left))
        for why, reason in reasons.items()
    ]
    return tuple(sorted(found, key=_weight)[:MAX_REASONS])


def _why(queue: str, state: FoundState, why: str, reason: Reason, *, refused: bool) -> MigrationReason:
    examples = tuple(
        MigrationExample(name_of(source_id), name_of(name)) for source_id, name in reason.examples[:EXAMPLES]
    )
    return MigrationReason(name_of(queue), state, refused, words_of(why), reason.count, examples)
