"""A migration as it is shown to whoever looks, by the API, the command and the dashboard; pure."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct, to_builtins

from headway.clock import from_ms
from headway.migrate.found import FoundState
from headway.migrate.report import instant, markdown
from headway.migrate.standing import (
    MigrationState,
    MigrationStep,
    RunState,
    next_steps,
    run_state,
    said,
    state_of,
)
from headway.migrate.status import (
    Command,
    Migration,
    MigrationExample,
    MigrationReason,
    MigrationTrouble,
    RepeatingEntry,
    Row,
    Run,
    Verdict,
)

if TYPE_CHECKING:
    from headway.migrate.keeping import StoredMigration

_Instant = Annotated[datetime, Meta(tz=True)]


class MigrationRun(Struct, frozen=True, kw_only=True):
    """One run of a command, who ran it, and what it did. `left_s` seconds are left, where somebody can say."""

    id: str
    command: Command
    state: RunState
    who: str
    started_at: _Instant
    seen_at: _Instant
    ended_at: _Instant | None
    error: str
    queues: int
    looked_at: int
    total: int
    rate: float
    left_s: float | None
    moved: int
    refused: int
    reverted: int
    stays: tuple[MigrationTrouble, ...]
    more_stays: int


class MigrationRow(Struct, frozen=True, kw_only=True):
    """The jobs of one queue by the state in which they were found: found is the sum of the others."""

    queue: str
    state: FoundState
    found: int
    moved: int
    left: int
    refused: int
    reverted: int
    pending: int
    under_way: int


class MigrationVerdict(Struct, frozen=True, kw_only=True):
    """What the last `verify` found; `sound`: all is accounted for."""

    sound: bool
    at: _Instant
    who: str
    compared: int
    dropped: int
    troubles: tuple[MigrationTrouble, ...]
    more_troubles: int


class MigrationSummary(Struct, frozen=True, kw_only=True):
    """Jobs that come from one source: how far that is. `said` is the state in a sentence."""

    id: str
    kind: str
    server: str
    identity: str
    state: MigrationState
    said: str
    found: int
    moved: int
    left: int
    refused: int
    reverted: int
    pending: int
    under_way: int
    began_at: _Instant | None
    seen_at: _Instant | None
    run: MigrationRun | None
    verdict: MigrationVerdict | None


class MigrationView(MigrationSummary, frozen=True, kw_only=True):
    """The whole of it. `report` is Markdown, for a ticket."""

    rows: list[MigrationRow]
    reasons: tuple[MigrationReason, ...]
    repeating: tuple[RepeatingEntry, ...]
    more_repeating: int
    runs: list[MigrationRun]
    next: list[MigrationStep]
    report: str


def summary(stored: StoredMigration) -> MigrationSummary:
    """Return how it stands, in short."""
    return MigrationSummary(**_fields(stored))


def view(stored: StoredMigration) -> MigrationView:
    """Return all that is known of it."""
    migration, _, now_ms = stored
    fields = _fields(stored)
    state: MigrationState = fields["state"]
    rows = [_row(one) for one in migration.rows]
    runs = [_run(one, now_ms) for one in migration.runs]
    return MigrationView(
        **fields,
        rows=rows,
        reasons=migration.reasons,
        repeating=migration.repeating,
        more_repeating=migration.more_repeating,
        runs=runs,
        next=next_steps(migration, state),
        report=_report(fields, migration, rows),
    )


def _fields(stored: StoredMigration) -> dict[str, Any]:
    migration, _, now_ms = stored
    state = state_of(migration, now_ms)
    rows = migration.rows
    runs = migration.runs
    return {
        "id": migration.id,
        "kind": migration.kind,
        "server": migration.server,
        "identity": migration.identity,
        "state": state,
        "said": said(state, migration, now_ms),
        "found": sum(one.found for one in rows),
        "moved": sum(one.moved for one in rows),
        "left": sum(one.left for one in rows),
        "refused": sum(one.refused for one in rows),
        "reverted": sum(one.reverted for one in rows),
        "pending": sum(one.pending for one in rows),
        "under_way": sum(one.under_way for one in rows),
        "began_at": from_ms(runs[-1].started_ms) if runs else None,
        "seen_at": from_ms(max(one.seen_ms for one in runs)) if runs else None,
        "run": _run(runs[0], now_ms) if runs else None,
        "verdict": None if migration.verdict is None else _verdict(migration.verdict),
    }


def _run(run: Run, now_ms: int) -> MigrationRun:
    return MigrationRun(
        id=run.id,
        command=run.command,
        state=run_state(run, now_ms),
        who=run.who,
        started_at=from_ms(run.started_ms),
        seen_at=from_ms(run.seen_ms),
        ended_at=None if run.ended_ms is None else from_ms(run.ended_ms),
        error=run.error,
        queues=run.queues,
        looked_at=run.looked_at,
        total=run.total,
        rate=run.rate,
        left_s=run.left_s,
        moved=run.moved,
        refused=run.refused,
        reverted=run.reverted,
        stays=run.stays,
        more_stays=run.more_stays,
    )


def _row(row: Row) -> MigrationRow:
    return MigrationRow(
        queue=row.queue,
        state=row.state,
        found=row.found,
        moved=row.moved,
        left=row.left,
        refused=row.refused,
        reverted=row.reverted,
        pending=row.pending,
        under_way=row.under_way,
    )


def _verdict(verdict: Verdict) -> MigrationVerdict:
    return MigrationVerdict(
        sound=verdict.sound,
        at=from_ms(verdict.at_ms),
        who=verdict.who,
        compared=verdict.compared,
        dropped=verdict.dropped,
        troubles=verdict.troubles,
        more_troubles=verdict.more_troubles,
    )


def _report(fields: dict[str, Any], migration: Migration, rows: list[MigrationRow]) -> str:
    numbers = ("found", "moved", "left", "refused", "reverted", "pending", "under_way")
    document: dict[str, Any] = {
        "source": f"{migration.kind} at {migration.server} {migration.identity}".strip(),
        "state": fields["said"],
        **{name: fields[name] for name in numbers},
    }
    if migration.verdict is not None:
        document["verified"] = f"{instant(migration.verdict.at_ms)} by {migration.verdict.who}"
        document["troubles"] = [to_builtins(one) for one in migration.verdict.troubles]
    document["rows"] = [to_builtins(one) for one in rows]
    document["reasons"] = [
        {**to_builtins(one), "examples": [_example(each) for each in one.examples]}
        for one in migration.reasons
    ]
    document["schedules"] = [to_builtins(one) for one in migration.repeating]
    document["runs"] = [
        {
            "command": one.command.value,
            "who": one.who,
            "started": instant(one.started_ms),
            "last heard of": instant(one.seen_ms),
            "outcome": "no end" if one.ended_ms is None else one.outcome.value,
            "moved": one.moved,
            "refused": one.refused,
            "reverted": one.reverted,
            "error": one.error,
        }
        for one in migration.runs
    ]
    return markdown("Migration", document)


def _example(one: MigrationExample) -> str:
    return f"{one.source_id} ({one.name})" if one.name else one.source_id
