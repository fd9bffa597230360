"""When a scheduled job's next attempt starts: pure functions of its schedule, its retry settings and the instant.

An *execution* stands for one time of the schedule; it has one attempt or, while they fail, several.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headway.clock import from_ms, to_ms
from headway.emulator.retry import backoff_ms

if TYPE_CHECKING:
    from headway.emulator.model import RetryConfig
    from headway.schedules.schedule import Cron


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a job stands. Instants are milliseconds since 1970 UTC."""

    fire_ms: int
    """The time of the schedule for which the present execution runs, or the next one will."""
    due_ms: int
    """When its next attempt starts."""
    attempts: int = 0
    """How many were made for this execution."""
    first_ms: int = 0
    """When the first of them started."""


def first_turn(schedule: Cron, now_ms: int) -> Turn:
    """Return the turn of a job that is new, has a new schedule or is resumed: nothing is owed for the time before."""
    fire_ms = to_ms(schedule.next_after(from_ms(now_ms)))
    return Turn(fire_ms, fire_ms)


def started(turn: Turn, now_ms: int) -> Turn:
    """Return the turn once its attempt has begun."""
    return replace(turn, attempts=turn.attempts + 1, first_ms=turn.first_ms if turn.attempts else now_ms)


def next_fire(schedule: Cron, turn: Turn, now_ms: int) -> Turn:
    """Return the turn that follows an execution.

    One that lasted beyond the next times of the schedule is followed at once, by one execution for the latest of them.
    """
    missed_ms = to_ms(schedule.previous_or_at(from_ms(now_ms)))
    if missed_ms > turn.fire_ms:
        return Turn(missed_ms, now_ms)
    return first_turn(schedule, max(now_ms, turn.fire_ms))


def after_failure(schedule: Cron, turn: Turn, retries: RetryConfig, now_ms: int) -> Turn:
    """Return the turn after a failed attempt: another attempt while both limits allow, else the next execution.

    Here `max_attempts` counts the retries. The next time of the schedule ends an execution whatever its limits say.
    """
    following = next_fire(schedule, turn, now_ms)
    if retries.max_attempts == 0:
        return following
    made = turn.attempts - 1  # retries so far
    elapsed_ms = now_ms - turn.first_ms
    within_duration = retries.max_duration_ms > 0 and elapsed_ms < retries.max_duration_ms
    if made >= retries.max_attempts and not within_duration:
        return following
    due_ms = now_ms + backoff_ms(retries, made + 1)
    return replace(turn, due_ms=due_ms) if due_ms < following.due_ms else following
