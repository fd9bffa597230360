"""How a migration stands, for whoever looks: its state in a word and a sentence, and what to do next; pure."""

from __future__ import annotations

import shlex
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final, assert_never

from msgspec import Meta, Struct, to_builtins

from headway.clock import from_ms
from headway.migrate.found import FoundState
from headway.migrate.report import instant, markdown
from headway.migrate.status import (
    Command,
    Migration,
    MigrationExample,
    MigrationReason,
    MigrationTrouble,
    Outcome,
    RepeatingEntry,
    Row,
    Run,
    Verdict,
)

if TYPE_CHECKING:
    from headway.migrate.keeping import StoredMigration

SILENT_MS: Final = 30_000
"""A run that has not ended and was not heard of for so long is dead, or is cut off from the app's carrier."""
_Instant = Annotated[datetime, Meta(tz=True)]


class MigrationState(StrEnum):
    """How a migration stands, by its latest run and the last verdict."""

    RUNNING = "running"  # a command is at work
    SILENT = "silent"  # a command began, did not end, and is not heard of any more
    STOPPED = "stopped"  # somebody ended the command before it was done
    FAILED = "failed"  # the command ended with an error
    MOVED = "moved"  # apply or forward ended; not verified since
    VERIFIED = "verified"  # all is accounted for
    UNSOUND = "unsound"  # verify ended, and not all is accounted for
    REVERTED = "reverted"


class RunState(StrEnum):
    """How one run of a command stands."""

    RUNNING = "running"
    SILENT = "silent"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


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


class MigrationStep(Struct, frozen=True):
    """What to do next: why, and the command."""

    why: str
    command: str


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


TROUBLED: Final = frozenset({MigrationState.SILENT, MigrationState.FAILED, MigrationState.UNSOUND})
"""States that somebody should look at."""
_UNFINISHED: Final = {
    RunState.SILENT: MigrationState.SILENT,
    RunState.FAILED: MigrationState.FAILED,
    RunState.STOPPED: MigrationState.STOPPED,
}


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


def state_of(migration: Migration, now_ms: int) -> MigrationState:
    """Return how it stands by the clock of its store."""
    states = [run_state(one, now_ms) for one in migration.runs]
    if RunState.RUNNING in states:
        return MigrationState.RUNNING
    if not migration.runs:
        return MigrationState.STOPPED
    if states[0] in _UNFINISHED:
        return _UNFINISHED[states[0]]
    latest = migration.runs[0]
    match latest.command:
        case Command.VERIFY:
            sound = migration.verdict is not None and migration.verdict.sound
            return MigrationState.VERIFIED if sound else MigrationState.UNSOUND
        case Command.REVERT:
            return MigrationState.REVERTED
        case Command.APPLY | Command.FORWARD:
            return MigrationState.MOVED
        case _:
            assert_never(latest.command)


def run_state(run: Run, now_ms: int) -> RunState:
    """Return how one run stands by the clock of its store."""
    if run.ended_ms is None:
        return RunState.SILENT if now_ms - run.seen_ms > SILENT_MS else RunState.RUNNING
    match run.outcome:
        case Outcome.DONE:
            return RunState.DONE
        case Outcome.STOPPED:
            return RunState.STOPPED
        case Outcome.FAILED:
            return RunState.FAILED
        case _:
            assert_never(run.outcome)


def said(state: MigrationState, migration: Migration, now_ms: int) -> str:
    """Return the state in a sentence."""
    if not migration.runs:
        return "No command has run."
    latest = migration.runs[0]
    match state:
        case MigrationState.RUNNING:
            running = [one.command for one in migration.runs if run_state(one, now_ms) is RunState.RUNNING]
            return f"{' and '.join(dict.fromkeys(running))} {'is' if len(running) == 1 else 'are'} at work."
        case MigrationState.SILENT | MigrationState.STOPPED | MigrationState.FAILED:
            return f"{_interrupted(state, latest)} No job is lost: the same command goes on."
        case _:
            return _ended(state, migration, latest)


def _interrupted(state: MigrationState, latest: Run) -> str:
    command = latest.command
    if state is MigrationState.SILENT:
        return f"{command} stopped in the middle: it did not end, and is not heard of any more."
    if state is MigrationState.STOPPED:
        return f"{command} was stopped before its end."
    return f"{command} failed: {latest.error.rstrip('.') or 'its own output says why'}."


def _ended(state: MigrationState, migration: Migration, latest: Run) -> str:
    refused = sum(one.refused for one in migration.rows)
    pending = sum(one.pending for one in migration.rows)
    stay = f" {refused:,} refused jobs are where they were." if refused else ""
    if state is MigrationState.MOVED:
        more = f" {pending:,} were not looked at." if pending else ""
        return f"{latest.command} has ended.{stay}{more} Nobody has verified it since."
    if state is MigrationState.VERIFIED:
        more = f" {pending:,} more would be moved by the next apply." if pending else ""
        where = "queue that was" if latest.queues == 1 else f"{latest.queues:,} queues that were"
        return f"All is accounted for in the {where} counted: nothing lost, doubled or changed.{stay}{more}"
    if state is MigrationState.UNSOUND:
        return "Not all is accounted for: see what verify found."
    stays = latest.more_stays + len(latest.stays)
    more = f" {stays:,} stay here, since they have started." if stays else ""
    return f"What had not started here is back where it was.{more}"


def next_steps(migration: Migration, state: MigrationState) -> list[MigrationStep]:
    """Return what to do next, as commands; they take the source from HEADWAY_MIGRATE_SOURCE."""
    latest = migration.runs[0].command if migration.runs else Command.APPLY
    refused = any(one.refused for one in migration.rows)
    pending = any(one.pending for one in migration.rows)

    def step(command: str, why: str) -> MigrationStep:
        return MigrationStep(why, shlex.join(["headway", "migrate", command, *_options(migration)]))

    verify = step("verify", "Count, and compare what was moved with what is here.")
    plan = step("plan", "See what is refused, and why; then change the map, or the arguments of the task.")
    steps: list[MigrationStep] = []
    match state:
        case MigrationState.RUNNING:
            return []
        case MigrationState.SILENT | MigrationState.STOPPED | MigrationState.FAILED:
            steps = [step(latest, "Go on where it ended: what was under way is finished under the same ids.")]
        case MigrationState.MOVED:
            steps = [verify]
        case MigrationState.UNSOUND:
            steps = [
                step("apply", "Finish what is under way; jobs that others work on are left alone for 10 s."),
                verify,
            ]
        case MigrationState.VERIFIED:
            if pending:
                steps = [step("apply", "Move what has come since.")]
            steps.append(step("revert", "Only if you want it undone: put back what has not started here."))
        case MigrationState.REVERTED:
            steps = [step("apply", "Move them again, once what was wrong is mended."), verify]
        case _:
            assert_never(state)
    if refused and state is not MigrationState.REVERTED:
        steps.insert(0 if state is MigrationState.VERIFIED else 1, plan)
    return steps


def _options(migration: Migration) -> tuple[str, ...]:
    return migration.words or ("--from", migration.kind)


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
