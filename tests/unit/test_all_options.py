"""Every option that users can give is checked where it is written, and a wrong one is refused by its name.

The options are found by introspection, so that a new one cannot be forgotten: it has no entry in `FITTING`.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections import deque
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from headway import Discard, Headway, Retry, RetryLater, Unique
from headway.config import GivenSettings, Settings, load_settings
from headway.errors import HeadwayError
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

_numbers = itertools.count()
DURATIONS = [timedelta(seconds=3), 3, 1.5, "5m", "500ms"]
TEXTS = ["a"]

# What a wrong caller may write: each is tried for every option for which it does not stand among the fitting ones.
ODD: list[Any] = [
    True, False, 0, 1, -1, 3, 10**30, -(10**400), 0.5, math.nan, math.inf, -math.inf, Decimal(3), 1j,
    "", " ", "x", "5", "proces", "never", "1 fortnight", "a{b}", "\ud800", "-1s", "nan", b"x",
    [], [1], ["x", 1], (), {}, {"a": 1}, {1: "a"}, {"x"}, deque([1]),
    object(), object, print, ..., NotImplemented,
    timedelta(-1), timedelta.max, datetime(2030, 1, 1), datetime.max,  # noqa: DTZ001, DTZ901 - the mistakes
    Retry(), Unique(), ValueError, ValueError(),
]  # fmt: skip


class Option(NamedTuple):
    """An option: how it is given, and values that are right."""

    call: Callable[[Any], object]
    fitting: list[Any]
    name: str
    named: str = ""  # what the message must name, where that is not the option itself


def declared(**options: Any) -> Any:
    app = Headway("x")
    given: dict[str, Any] = {"name": "t"}
    given.update(options)
    return app.task(**given)(lambda: None)


def scheduled(how: str, **options: Any) -> None:
    app = Headway("x")

    @app.task(name="t")
    def task(n: int = 1) -> None: ...

    given: dict[str, Any] = (
        {"expression": "* * * * *"} if how == "cron" else {"interval": timedelta(minutes=1)}
    )
    given.update(options)
    getattr(app, how)(**given)(task)


def unique(**options: Any) -> Unique:
    if "window" in options:
        options["mode"] = "throttle"
    return Unique(**options)


TASK = declared()


async def measured() -> None:
    """Stand for what runs the copies of a task's jobs."""


FITTING: dict[str, list[Any]] = {
    "Headway.task.name": ["a", "shop.send", " x"[1:]],
    "Headway.task.queue": TEXTS,
    "Headway.task.timeout": [None, *DURATIONS],
    "Headway.task.retry": [None, Retry.never()],
    "Headway.task.priority": [0, 5, 9],
    "Headway.task.expires": [None, *DURATIONS],
    "Headway.task.unique": [None, Unique()],
    "Headway.task.run_in": [None, "thread", "process"],
    "Headway.task.aliases": [(), ["a", "b"]],
    "Headway.task.tags": [(), ["a", "b"]],
    "Headway.task.search": [(), [], ["a", "b.c"]],
    "Headway.task.hide": [False, True, (), [], ["a", "b.c"]],
    "Headway.task.shadow": [None, measured],
    "Headway.cron.expression": ["* * * * *", "@daily"],
    "Headway.cron.timezone": ["UTC", "Europe/Zurich"],
    "Headway.cron.catch_up": ["skip", "last", "all"],
    "Headway.cron.name": [None, "a"],
    "Headway.cron.args": [(), (1,), [1]],
    "Headway.cron.kwargs": [None, {"n": 1}],
    "Headway.every.interval": [timedelta(minutes=5), "5m", "60s"],
    "Headway.every.catch_up": ["skip", "last", "all"],
    "Headway.every.name": [None, "a"],
    "Headway.every.args": [(), (1,), [1]],
    "Headway.every.kwargs": [None, {"n": 1}],
    "Task.options.delay": [None, 0, "0s", *DURATIONS],
    "Task.options.at": [None, datetime(2030, 1, 1, tzinfo=UTC)],
    "Task.options.priority": [None, 0, 9],
    "Task.options.queue": [None, "a"],
    "Task.options.key": [None, "k"],
    "Task.options.headers": [None, {}, {"a": "b"}],
    "Task.options.timeout": [None, *DURATIONS],
    "Task.options.expires": [None, *DURATIONS],
    "Task.options.unique": [None, Unique("debounce")],
    "Retry.max_attempts": [1, 10],
    "Retry.initial": [0, *DURATIONS],
    "Retry.factor": [1, 2.5],
    "Retry.maximum": [2, *DURATIONS[:2], "5m"],
    "Retry.jitter": [0, 0.5, 1],
    "Retry.retry_on": [(OSError,), ()],
    "Retry.give_up_on": [(OSError,), ()],
    "Retry.delays": [None, [1, "5m", timedelta(1)], (2,)],
    "Retry.rules": [{}, {OSError: Retry.never()}],
    "Unique.mode": ["reject", "debounce", "keep_last"],
    "Unique.by": [None, "text", ["n"], str],
    "Unique.window": DURATIONS,
    "RetryLater.delay": [0, *DURATIONS],
    "Headway.name": ["shop"],
    "Headway.job.job_id": [],
}
# Odd values that are right after all, because they fall under a wide rule.
ALSO_RIGHT: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: (
        isinstance(value, str) and value in {"x", "5", "proces", "never", "1 fortnight", "nan", "-1s"}
    ),
    "queue": lambda value: ALSO_RIGHT["name"](value),  # noqa: PLW0108 - not there yet
    "key": lambda value: isinstance(value, str) and value not in {"", "\ud800"},
    "timeout": lambda value: _is_duration(value) and _seconds(value) > 0,
    "expires": lambda value: _is_duration(value) and _seconds(value) > 0,
    "window": lambda value: _is_duration(value) and _seconds(value) > 0,
    "delay": lambda value: _is_duration(value) and _seconds(value) >= 0,
    "initial": lambda value: _is_duration(value) and 0 <= _seconds(value) <= 600,
    "maximum": lambda value: _is_duration(value) and _seconds(value) >= 2,
    "interval": lambda value: isinstance(value, str) and value == "5",
    "priority": lambda value: type(value) is int and 0 <= value <= 9,
    "max_attempts": lambda value: type(value) is int and value >= 1,
    "factor": lambda value: type(value) in {int, float} and 1 <= value < math.inf,
    "jitter": lambda value: type(value) in {int, float} and 0 <= value <= 1,
    "retry_on": lambda value: value == (),
    "give_up_on": lambda value: value == (),
    "rules": lambda value: value == {},
    "delays": lambda value: isinstance(value, list | deque) and list(value) == [1],
    "headers": lambda value: value == {},
    "unique": lambda value: isinstance(value, Unique),
    "retry": lambda value: isinstance(value, Retry),
    "by": lambda value: (isinstance(value, str) and bool(value)) or callable(value),
    "args": lambda value: value in ([], (), [1]),
    "kwargs": lambda value: value == {},
    "aliases": lambda value: value in ([], ()),
    "tags": lambda value: value in ([], ()),
}


def _is_duration(value: Any) -> bool:
    kinds = int | float | timedelta
    return (isinstance(value, kinds) and not isinstance(value, bool)) or value == "5"


def _seconds(value: Any) -> float:
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    except OverflowError:
        return -1
    return seconds if seconds <= 1000 * 365 * 86400 else -1


def found() -> dict[str, Option]:
    """All options there are, by the place where they are given."""

    def names(callable_: Any) -> list[str]:
        kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(callable_).parameters.values()
        return [p.name for p in parameters if p.kind in kinds and p.name not in {"self", "clock", "carrier"}]

    def option(place: str, name: str, call: Callable[[Any], object]) -> tuple[str, Option]:
        key = f"{place}.{name}"
        assert key in FITTING, f"{key} is a new option: write what fits it into FITTING"
        return key, Option(call, FITTING[key], name)

    return dict(
        [
            *(option("Headway", name, Headway) for name in names(Headway)),
            *(
                option("Headway.task", name, lambda v, n=name: declared(**{n: v}))  # type: ignore[misc]
                for name in names(Headway.task)
            ),
            *(
                option(f"Headway.{how}", name, lambda v, n=name, h=how: scheduled(h, **{n: v}))  # type: ignore[misc]
                for how in ("cron", "every")
                for name in names(getattr(Headway, how))
            ),
            *(
                option("Task.options", name, lambda v, n=name: TASK.options(**{n: v}))  # type: ignore[misc]
                for name in names(type(TASK).options)
            ),
            *(
                option("Retry", field.name, lambda v, n=field.name: Retry(**{n: v}))  # type: ignore[misc]
                for field in dataclass_fields(Retry)
            ),
            *(
                option("Unique", name, lambda v, n=name: unique(**{n: v}))  # type: ignore[misc]
                for name in Unique.__struct_fields__
            ),
            option("RetryLater", "delay", RetryLater),
            option("Headway.job", "job_id", lambda v: Headway("x").job(v)),
        ]
    )


OPTIONS = found()


@pytest.mark.parametrize("place", OPTIONS)
def test_what_fits_an_option_is_taken(place: str) -> None:
    for value in OPTIONS[place].fitting:
        OPTIONS[place].call(value)


@pytest.mark.parametrize("place", OPTIONS)
def test_what_does_not_fit_an_option_is_refused_by_its_name(place: str) -> None:
    option = OPTIONS[place]
    right = ALSO_RIGHT.get(option.name, lambda _: False)
    accepted: list[Any] = []
    wrong: list[Any] = []
    for value in [*ODD, None]:
        if any(type(value) is type(fit) and value == fit for fit in option.fitting) or right(value):
            continue
        try:
            option.call(value)
        except (HeadwayError, ValueError, TypeError) as error:
            wrong += [] if _names(error, option.name) and _is_ours(error, place) else [(value, repr(error))]
        else:
            accepted.append(value)
    assert (accepted, wrong) == ([], [])


def _names(error: Exception, option: str) -> bool:
    return option in str(error) or {"timezone": "time zone", "job_id": "job id"}.get(option, option) in str(
        error
    )


def _is_ours(error: Exception, place: str) -> bool:
    """Retry says ValueError, and RetryLater, in a handler, what Python itself would."""
    return isinstance(error, HeadwayError | ValueError) or place == "RetryLater.delay"


SETTINGS = {name: getattr(Settings(), name) for name in Settings.__struct_fields__}
SETTING_ALSO: dict[type, Callable[[Any], bool]] = {
    int: lambda value: value in {"5", 3.0},
    float: lambda value: _is_duration(value) and _seconds(value) >= 0,
    bool: lambda value: value in {0, 1} or str(value).lower() in {"true", "false", "0", "1"},
    str: lambda value: False,
    list: lambda value: isinstance(value, tuple | deque | set) and len(value) < 2,
    dict: lambda value: value == {},
}


def test_the_settings_that_users_can_give_are_those_there_are() -> None:
    assert set(GivenSettings.__annotations__) == set(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_what_does_not_fit_a_setting_is_refused_by_its_name(name: str) -> None:
    default = SETTINGS[name]
    accepted: list[Any] = []
    wrong: list[Any] = []
    for value in ODD:
        try:
            taken = getattr(load_settings({name: value}, environ={}), name)
        except HeadwayError as error:
            wrong += [] if name in str(error) else [(value, repr(error))]
            continue
        # What is taken is of the setting's type, and what was written: nothing is made of something else.
        same = str(taken) == str(value) or taken == value or SETTING_ALSO[type(default)](value)
        if (
            type(taken) is not type(default)
            or not same
            or (isinstance(taken, float) and not math.isfinite(taken))
        ):
            accepted.append((value, taken))
    assert (accepted, wrong) == ([], [])


@pytest.mark.parametrize("wrong", [timedelta.max, math.nan, -1, "soon", True, None])
def test_signals_of_a_handler_are_checked_where_they_are_raised(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="RetryLater: delay"):
        RetryLater(wrong)
    assert Discard("why").reason == "why"


def test_what_to_write_instead_is_said() -> None:
    for given, told in (
        ({"retry": False}, r"task 't': retry must be a Retry, .*Retry\.never\(\) for one attempt; got False"),
        ({"retry": 3}, r"retry must be a Retry, such as Retry\(max_attempts=3\)"),
        ({"unique": True}, r"unique must be None or a Unique, such as Unique\(\)"),
        ({"run_in": "proces"}, "run_in must be one of async, thread, process; got 'proces'"),
        ({"priority": "5"}, r"priority must be a whole number from 0 \(last\) to 9 \(first\), got '5'"),
        ({"queue": None}, "queue name None: 1 to 200 characters"),
        ({"timeout": -1}, "timeout must be positive, got -1"),
        ({"timeout": "1 hour"}, "timeout must be a timedelta, .* or a text such as 500ms, 15s, 2m, 24h, 7d"),
        ({"aliases": "old"}, "aliases must be a list of names, got 'old'"),
    ):
        with pytest.raises(HeadwayError, match=told):
            declared(**given)
    with pytest.raises(HeadwayError, match=r"interval must be a timedelta, .*minutes=5.*60s.*; got 60"):
        scheduled("every", interval=60)


def test_one_way_to_write_durations() -> None:
    for written in ("90s", "1.5m", 90, 90.0, timedelta(seconds=90)):
        assert declared(timeout=written).options_declared.timeout_ms == 90_000
        assert TASK.options(delay=written).job().new.due_ms is not None
        assert load_settings({"timeout": written}, environ={}).timeout == 90.0
        assert RetryLater(written).delay == timedelta(seconds=90)
        assert Retry(initial=written).initial == 90.0


def test_a_clock_is_asked_only_for_what_needs_it() -> None:
    assert Headway("x", clock=FakeClock(5)).clock.now_ms() == 5
