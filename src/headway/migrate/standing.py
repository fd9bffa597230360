"""How a migration stands: its state in a word and a sentence, and what to do next; pure."""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

from msgspec import Struct

from headway.migrate.status import Command, Outcome

if TYPE_CHECKING:
    from headway.migrate.status import Migration, Run

SILENT_MS: Final = 30_000
"""A run that has not ended and was not heard of for so long is dead, or is cut off from the app's carrier."""


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


class MigrationStep(Struct, frozen=True):
    """What to do next: why, and the command."""

    why: str
    command: str


TROUBLED: Final = frozenset({MigrationState.SILENT, MigrationState.FAILED, MigrationState.UNSOUND})
"""States that somebody should look at."""
_UNFINISHED: Final = {
    RunState.SILENT: MigrationState.SILENT,
    RunState.FAILED: MigrationState.FAILED,
    RunState.STOPPED: MigrationState.STOPPED,
}


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
