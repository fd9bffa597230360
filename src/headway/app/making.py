"""Schedules made at run time: from what is given to what is kept, and from that to jobs. Nothing here is awaited."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, cast

from msgspec import UNSET, structs

from headway.app.options import JobOptions, checked_interval, schedule_options
from headway.app.prepared import PreparedJob
from headway.clock import instant_ms
from headway.codec import decode_call
from headway.errors import ArgumentsError, PayloadTooLargeError
from headway.job import Fire
from headway.schedules.made import MAX_STORED, Definition, encode_definition
from headway.schedules.schedule import CatchUp, Cron, Every

if TYPE_CHECKING:
    from headway.app.task import Task
    from headway.clock import Clock
    from headway.codec import Codec
    from headway.job import NewJob

_MILLISECOND: Final = timedelta(milliseconds=1)


class TaskSource(Protocol):
    """An app, as its schedules are made."""

    @property
    def codec(self) -> Codec:
        """What makes bytes of calls."""
        ...

    @property
    def clock(self) -> Clock:
        """Its clock."""
        ...

    def find_task(self, name: str) -> Task[Any, Any]:
        """Return the task of that name or alias; UnknownTaskError."""
        ...


class Times(TypedDict, total=False):
    """When a schedule fires, as it is given; `Schedules.create` says what each is."""

    cron: str
    every: timedelta | str
    timezone: str
    catch_up: CatchUp | str
    first_fire: datetime | None
    until: datetime | None


class NewTimes(Times, total=False):
    """The same, of one that is made."""

    paused: bool


def without_pause(times: NewTimes) -> Times:
    """Return the times alone."""
    return cast("Times", {name: value for name, value in times.items() if name != "paused"})


def with_times(definition: Definition, times: Times, now_ms: int) -> Definition:
    """Return it with other times, from `now_ms` on.

    ScheduleError, DeclarationError or ArgumentsError say what is wrong.

    Nothing is owed for the time before, but for a `first_fire` that has passed: it is still to come. One that has times
    may be given another `catch_up` alone.
    """
    if unknown := set(times) - Times.__annotations__.keys():
        msg = f"schedule: unknown options {', '.join(sorted(unknown))}; there are {', '.join(Times.__annotations__)}"
        raise ArgumentsError(msg)
    given: dict[str, Any] = {name: value for name, value in times.items() if value is not None}
    if (catch_up := given.pop("catch_up", None)) is not None:
        definition = _with_policy(definition, catch_up)
        if not given and (definition.cron or definition.every_ms):
            return definition
    cron, every, timezone = given.get("cron"), given.get("every"), given.get("timezone")
    if (cron is None) == (every is None):
        msg = 'schedule: give either cron, such as "0 3 * * *", or every, such as "5m"'
        raise ArgumentsError(msg)
    if every is not None and timezone is not None:
        msg = "schedule: timezone goes with cron; every counts elapsed time"
        raise ArgumentsError(msg)
    first_ms = _instant(given.get("first_fire"), "first_fire")
    until_ms = _instant(given.get("until"), "until")
    if until_ms is not None and until_ms < max(now_ms, first_ms or 0):
        msg = f"schedule: until must be in the future and not before first_fire, got {times.get('until')}"
        raise ArgumentsError(msg)
    changed = structs.replace(
        definition,
        since_ms=now_ms if first_ms is None else min(now_ms, first_ms - 1),
        first_ms=first_ms,
        until_ms=until_ms,
        cron="",
        timezone="UTC",
        every_ms=0,
        anchor_ms=0,
    )
    if cron is not None:
        checked = Cron(cron, "UTC" if timezone is None else timezone)
        return structs.replace(changed, cron=checked.expression, timezone=checked.timezone)
    interval = Every(checked_interval(every)).interval
    anchor_ms = 0 if first_ms is None else first_ms  # its first fire time is one of those that follow
    return structs.replace(changed, every_ms=interval // _MILLISECOND, anchor_ms=anchor_ms)


def _with_policy(definition: Definition, catch_up: CatchUp | str) -> Definition:
    policy, _, _ = schedule_options(catch_up, (), None)
    return structs.replace(definition, catch_up=policy)


def with_job(app: TaskSource, definition: Definition, job: PreparedJob[Any]) -> Definition:
    """Return it with another task and other arguments; ArgumentsError for what a schedule cannot keep of a job.

    Priority, queue and the like that the call does not name are those that the task declares at the fire time.
    """
    if not _is_job(job) or job.call is None:
        msg = f"schedule: give a job, made by task.job(...) or task.options(...).job(...), not {job!r}"
        raise ArgumentsError(msg)
    options, args, kwargs = job.call
    task = app.find_task(job.new.task)
    wrong = {
        "delay": options.delay_ms,
        "at": options.at_ms is not None,
        "key": options.key is not None,
        "unique": options.unique is not UNSET,
    }
    if refused := [name for name, given in wrong.items() if given]:
        msg = (
            f"schedule: {', '.join(refused)} of a single job cannot be options of all jobs of a schedule; "
            "declare unique= at the task"
        )
        raise ArgumentsError(msg)
    return structs.replace(
        definition,
        task=task.name,
        call=task.signature.encode(app.codec, args, kwargs, options.headers, options.timeout_ms),
        queue=options.queue,
        priority=options.priority,
        expires_ms=options.expires_ms,
    )


def stored(name: str, definition: Definition) -> bytes:
    """Return it as carriers keep it; PayloadTooLargeError when all schedulers would have too much to read."""
    body = encode_definition(definition)
    if len(body) > MAX_STORED:
        msg = (
            f"schedule {name!r} has {len(body)} bytes with its arguments, the limit is {MAX_STORED}; "
            "pass a reference to stored data"
        )
        raise PayloadTooLargeError(msg)
    return body


def job_of(app: TaskSource, name: str, definition: Definition, fire_ms: int | None) -> NewJob:
    """Make the job of a fire time, or one beside them (None).

    UnknownTaskError when the task is not declared here, CodecError when the arguments do not fit it any more.
    """
    task = app.find_task(definition.task)
    args, kwargs, options = arguments_of(task, definition)
    return task.new_job(options, args, kwargs, None if fire_ms is None else Fire(name, fire_ms))


def arguments_of(
    task: Task[Any, Any], definition: Definition
) -> tuple[tuple[Any, ...], dict[str, Any], JobOptions]:
    """Read the arguments as the task is annotated, and the options of its jobs; CodecError."""
    call, form = decode_call(definition.call)
    args, kwargs = task.signature.decode(call, form)
    options = JobOptions(
        priority=definition.priority,
        queue=definition.queue,
        headers=call.headers or None,
        timeout_ms=call.timeout_ms,
        expires_ms=definition.expires_ms,
    )
    return tuple(args), kwargs, options


def _is_job(job: object) -> bool:
    """Tell at run time what the annotation promises: callers are not all type-checked."""
    return isinstance(job, PreparedJob)


def _instant(instant: Any, what: str) -> int | None:  # noqa: ANN401 - whatever was given
    if instant is None:
        return None
    try:
        return instant_ms(instant, what)
    except (TypeError, ValueError) as error:
        msg = f"schedule: {error}"
        raise ArgumentsError(msg) from error
