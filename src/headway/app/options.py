"""What may be said of a task at its declaration and of one job at its enqueue; checked where it is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast, get_args

from msgspec import UNSET, Struct, UnsetType, structs

from headway.app.hiding import ALL, is_hidden
from headway.app.unique import Unique
from headway.clock import duration_ms, instant_ms
from headway.errors import ArgumentsError, DeclarationError
from headway.job import PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN, SHADOW_QUEUE
from headway.names import MAX_KEY, checked_name, valid_name
from headway.retry import Retry
from headway.schedules.schedule import CatchUp

if TYPE_CHECKING:
    from datetime import datetime

    from headway.clock import Duration

T = TypeVar("T")

RunIn = Literal["async", "thread", "process"]

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")  # has no encoding


class TaskOptions(Struct, frozen=True):
    """Of a task, as declared."""

    queue: str
    run_in: RunIn
    retry: Retry
    timeout_ms: int
    priority: int = PRIORITY_DEFAULT
    expires_ms: int | None = None
    unique: Unique | None = None
    tags: tuple[str, ...] = ()
    search: tuple[str, ...] = ()  # paths of arguments by which its jobs are found
    hide: tuple[str, ...] = ()  # paths of arguments that nobody is shown; `*`: all


class JobOptions(Struct, frozen=True):
    """Of one job; what is None is taken from the task."""

    delay_ms: int = 0
    at_ms: int | None = None
    priority: int | None = None
    queue: str | None = None
    key: str | None = None
    headers: dict[str, str] | None = None
    timeout_ms: int = 0
    expires_ms: int | None = None
    unique: Unique | UnsetType | None = UNSET


NO_OPTIONS: Final = JobOptions()


def job_options(  # noqa: C901, PLR0913 - each is an option of its own
    base: JobOptions = NO_OPTIONS,
    *,
    delay: Duration | None = None,
    at: datetime | None = None,
    priority: int | None = None,
    queue: str | None = None,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: Duration | None = None,
    expires: Duration | None = None,
    unique: Unique | UnsetType | None = UNSET,
) -> JobOptions:
    """Check the options of one job, over those of `base`; ArgumentsError names the one that is wrong."""
    if delay is not None and at is not None:
        msg = "options: give either delay or at, not both"
        raise ArgumentsError(msg)
    changes: dict[str, object] = {}
    if delay is not None:
        changes = {"delay_ms": _checked(_not_negative_ms, delay, "delay"), "at_ms": None}
    if at is not None:
        changes = {"delay_ms": 0, "at_ms": _checked(instant_ms, at, "at")}
    if priority is not None:
        changes["priority"] = checked_priority(priority)
    if queue is not None:
        changes["queue"] = _checked(_queue, queue, "queue")
    if key is not None:
        changes["key"] = _checked(_key, key, "key")
    if headers is not None:
        changes["headers"] = _checked(_headers, headers, "headers")
    if timeout is not None:
        changes["timeout_ms"] = _checked(_positive_ms, timeout, "timeout")
    if expires is not None:
        changes["expires_ms"] = _checked(_positive_ms, expires, "expires")
    if unique is not UNSET:
        changes["unique"] = _checked(_unique, unique, "unique")
    return structs.replace(base, **changes)


def task_options(  # noqa: PLR0913 - each is an option of its own
    task: str,
    *,
    is_async: bool,
    queue: str,
    timeout: Duration,
    retry: Retry | None,
    priority: int,
    expires: Duration | None,
    unique: Unique | None,
    run_in: RunIn | None,
    tags: object = (),
    search: object = (),
    hide: object = False,
) -> TaskOptions:
    """Check the options of a declaration; DeclarationError names the task and the one that is wrong."""

    def checked(check: Callable[[Any, str], T], value: object, name: str) -> T:
        try:
            return check(value, name)
        except (TypeError, ValueError) as error:
            msg = f"task {task!r}: {error}"
            raise DeclarationError(msg) from error

    hidden = (ALL,) if hide is True else () if hide is False else checked(_paths, hide, "hide")
    found = checked(_paths, search, "search")
    if secret := next((path for path in found if is_hidden(path, hidden)), None):
        msg = f"task {task!r}: search: {secret!r} is hidden, so no job is found by it; take it out of one of them"
        raise DeclarationError(msg)
    return TaskOptions(
        search=found,
        hide=hidden,
        queue=checked(_queue, queue, "queue"),
        run_in=checked(_run_in, ("async" if is_async else "thread") if run_in is None else run_in, "run_in"),
        retry=checked(_retry, retry, "retry"),
        timeout_ms=checked(_positive_ms, timeout, "timeout"),
        priority=checked(_priority, priority, "priority"),
        expires_ms=None if expires is None else checked(_positive_ms, expires, "expires"),
        unique=checked(_unique, unique, "unique"),
        tags=checked(_tags, tags, "tags"),
    )


def schedule_options(
    catch_up: CatchUp | str, args: object, kwargs: object
) -> tuple[CatchUp, tuple[Any, ...], Mapping[str, Any]]:
    """Check the options of a schedule; DeclarationError names the one that is wrong."""
    if catch_up not in tuple(CatchUp):
        msg = f"schedule: catch_up must be one of {', '.join(CatchUp)}; got {catch_up!r}"
        raise DeclarationError(msg)
    if not isinstance(args, list | tuple):
        msg = f"schedule: args must be a tuple of arguments, such as ({args!r},); got {args!r}"
        raise DeclarationError(msg)
    named: Any = {} if kwargs is None else kwargs
    if not isinstance(named, Mapping) or not all(isinstance(name, str) for name in cast("Any", named)):
        msg = f"schedule: kwargs must be a dict from names of parameters to arguments; got {kwargs!r}"
        raise DeclarationError(msg)
    return CatchUp(catch_up), tuple(cast("list[Any]", args)), cast("Mapping[str, Any]", named)


def _queue(queue: object, what: str) -> str:
    name = valid_name(queue, what)
    if name == SHADOW_QUEUE:  # drains and checks leave that one out
        msg = f"{what}: {SHADOW_QUEUE} is that of copies of jobs, see routes; choose another name"
        raise ValueError(msg)
    return name


def checked_headers(headers: object) -> dict[str, str]:
    """Return headers that are texts by name."""
    return _checked(_headers, headers, "headers")


def checked_interval(interval: object) -> timedelta:
    """Return the interval of `every`: a timedelta, or one written as text. A number is refused: it has no unit."""
    if isinstance(interval, timedelta):
        return interval
    try:
        if isinstance(interval, str):
            return timedelta(milliseconds=duration_ms(interval, "interval"))
    except ValueError:
        pass
    wanted = "a timedelta, such as timedelta(minutes=5), or a text such as 60s, 5m, 24h"
    msg = f"schedule: interval must be {wanted}; got {interval!r}"
    raise DeclarationError(msg)


def checked_priority(priority: int) -> int:
    """Return the priority when it is a whole number from 0 to 9."""
    return _checked(_priority, priority, "priority")


def checked_names(what: str, names: object) -> tuple[str, ...]:
    """Return several names; a lone text, which is a sequence of its letters, is refused."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        msg = f"{what} must be a list of names, got {names!r}"
        raise DeclarationError(msg)
    return tuple(checked_name(what, name) for name in cast("Sequence[str]", names))


def _checked(check: Callable[[Any, str], T], value: object, name: str) -> T:
    try:
        return check(value, name)
    except (TypeError, ValueError) as error:
        msg = f"options: {error}"
        raise ArgumentsError(msg) from error


# The rules. Each takes what was given for the option, of whatever type: callers are not all type-checked.


def _not_negative_ms(duration: Duration, name: str) -> int:
    value = duration_ms(duration, name)
    if value < 0:
        msg = f"{name} must not be negative, got {duration!r}"
        raise ValueError(msg)
    return value


def _positive_ms(duration: Duration, name: str) -> int:
    value = duration_ms(duration, name)
    if value <= 0:
        msg = f"{name} must be positive, got {duration!r}"
        raise ValueError(msg)
    return value


def _priority(priority: object, name: str) -> int:
    if type(priority) is not int or not PRIORITY_MIN <= priority <= PRIORITY_MAX:  # and no bool
        msg = f"{name} must be a whole number from {PRIORITY_MIN} (last) to {PRIORITY_MAX} (first), got {priority!r}"
        raise ValueError(msg)
    return priority


def _key(key: object, name: str) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or _SURROGATE.search(key):
        msg = f"{name} must be a text of 1 to {MAX_KEY} characters"
        raise ValueError(msg)
    return key


def _headers(headers: object, name: str) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        msg = f"{name} must be a dict of texts, got {headers!r}"
        raise TypeError(msg)
    checked: dict[str, str] = {}
    for key, value in headers.items():  # pyright: ignore[reportUnknownVariableType]
        if not (isinstance(key, str) and isinstance(value, str)):
            msg = f"{name}: header {key!r} must be a text with a text as value"
            raise TypeError(msg)
        checked[key] = value
    return checked


def _tags(tags: object, name: str) -> tuple[str, ...]:
    if isinstance(tags, str) or not isinstance(tags, Sequence):
        msg = f"{name} must be a list of texts, such as ['billing']; got {tags!r}"
        raise TypeError(msg)
    found = tuple(valid_name(one, "tags: tag") for one in cast("Sequence[object]", tags))
    return tuple(dict.fromkeys(found))


def _paths(paths: object, name: str) -> tuple[str, ...]:
    if isinstance(paths, str) or not isinstance(paths, Sequence):
        msg = f"{name} must be a list of arguments, such as ['user', 'order.id']; got {paths!r}"
        raise TypeError(msg)
    found: list[str] = []
    for path in cast("Sequence[object]", paths):
        if not isinstance(path, str) or not all(path.removeprefix("$.").split(".")):
            msg = f"{name}: {path!r} is no path of an argument, such as 'user' or 'order.id'"
            raise ValueError(msg)
        found.append(path.removeprefix("$."))
    return tuple(dict.fromkeys(found))


def _unique(unique: object, name: str) -> Unique | None:
    if unique is not None and not isinstance(unique, Unique):
        msg = f"{name} must be None or a Unique, such as Unique() or Unique('debounce'); got {unique!r}"
        raise TypeError(msg)
    return unique


def _retry(retry: object, name: str) -> Retry:
    if retry is None:
        return Retry()
    if not isinstance(retry, Retry):
        msg = f"{name} must be a Retry, such as Retry(max_attempts=3), or Retry.never() for one attempt; got {retry!r}"
        raise TypeError(msg)
    return retry


def _run_in(run_in: Any, name: str) -> RunIn:  # noqa: ANN401 - whatever was written
    if run_in not in get_args(RunIn):
        msg = f"{name} must be one of {', '.join(get_args(RunIn))}; got {run_in!r}"
        raise ValueError(msg)
    chosen: RunIn = run_in
    return chosen
