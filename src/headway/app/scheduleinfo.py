"""What is known of a schedule, as values of Python: of those in the code and of those made at run time."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from headway.app.making import arguments_of
from headway.clock import from_ms
from headway.codec import describe
from headway.errors import CodecError, UnknownTaskError
from headway.schedules.made import Definition, decode_definition, next_fire
from headway.schedules.schedule import CatchUp, ScheduleError, next_wake

if TYPE_CHECKING:
    from headway.app.making import TaskSource
    from headway.app.scheduled import ScheduledTask
    from headway.brokers.base import MadeSchedule, ScheduleRecord


class ScheduleInfo(Struct, frozen=True, kw_only=True):
    """A schedule. Instants are in UTC.

    `made` is false of one that stands in the code; of such a one that this app does not declare, only what its carrier
    keeps is known. `known` is false of one that no worker has made known yet. `next_fire` is None while it is paused,
    and when there is none any more. `problem` says why it makes no jobs here: its definition or its arguments cannot be
    read, this app has no such task, or the code has a schedule of its name.
    """

    name: str
    made: bool
    spec: str
    task: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    catch_up: CatchUp = CatchUp.LAST
    queue: str | None = None  # None: the task's
    priority: int | None = None  # None: the task's
    paused: bool = False
    known: bool = True
    last_fire: datetime | None = None
    next_fire: datetime | None = None
    until: datetime | None = None
    problem: str = ""


def declared_info(
    name: str, scheduled: ScheduledTask | None, record: ScheduleRecord | None, now: datetime
) -> ScheduleInfo:
    """Tell of a schedule in the code, as far as it is declared here or known to the carrier."""
    following = None
    paused = record is not None and record.paused
    if scheduled is not None and not paused:
        with suppress(ScheduleError):  # one without a next time is listed like the others
            following = next_wake(scheduled.schedule, None, now)
    return ScheduleInfo(
        name=name,
        made=False,
        spec=str(scheduled.schedule) if scheduled is not None else "" if record is None else record.spec,
        task=scheduled.task.name if scheduled is not None else "" if record is None else record.task,
        args=() if scheduled is None else scheduled.args,
        kwargs={} if scheduled is None else scheduled.kwargs,
        catch_up=CatchUp.LAST if scheduled is None else scheduled.catch_up,
        paused=paused,
        known=record is not None,
        last_fire=_instant(None if record is None else record.last_fire_ms),
        next_fire=following,
    )


def made_info(made: MadeSchedule, app: TaskSource | None, now: datetime, *, shadowed: bool) -> ScheduleInfo:
    """Tell of a schedule made at run time, with its arguments as the task is annotated, if `app` has it."""
    try:
        definition = decode_definition(made.body)
    except CodecError as error:
        return ScheduleInfo(name=made.name, made=True, spec="", task="", problem=str(error))
    problem = "the code has a schedule of this name, which is the one that fires" if shadowed else ""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    try:
        args, kwargs = _arguments(app, definition)
    except (CodecError, UnknownTaskError) as error:
        problem = problem or str(error)
    following = None
    if not definition.paused and not shadowed:
        with suppress(ScheduleError):
            following = next_fire(definition, made.last_fire_ms, now)
    return ScheduleInfo(
        name=made.name,
        made=True,
        spec=definition.spec,
        task=definition.task,
        args=args,
        kwargs=kwargs,
        catch_up=definition.catch_up,
        queue=definition.queue,
        priority=definition.priority,
        paused=definition.paused,
        last_fire=_instant(made.last_fire_ms),
        next_fire=following,
        until=_instant(definition.until_ms),
        problem=problem,
    )


def _arguments(app: TaskSource | None, definition: Definition) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if app is None:
        shown = describe(definition.call)
        return tuple(shown["args"]), shown["kwargs"]
    args, kwargs, _ = arguments_of(app.find_task(definition.task), definition)
    return args, kwargs


def _instant(at_ms: int | None) -> datetime | None:
    return None if at_ms is None else from_ms(at_ms)
