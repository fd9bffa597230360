"""What a roll-out is asked to do: which queue goes where, in which steps, under which limits."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from msgspec import Struct

from headway.clock import duration_ms
from headway.errors import ConfigError, DeclarationError
from headway.names import checked_name
from headway.routing.written import checked_carrier

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from headway.routing.routes import Route

Waiting = Literal["run", "move", "stay"]
"""Of jobs that wait on the new side when it is rolled back: they run there, are moved back, or stay unrun."""

_MOST_JOBS: Final = 1_000_000_000


class Plan(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A roll-out of one queue. Rates are shares from 0 to 1, times milliseconds; a limit that is None is not guarded.

    Each limit is judged on the new side. `tolerance` is how many times the errors, and how many times as slow, the new
    side may be, compared with the other side of the same time. `false_alarm` is the most probable that it may be that a
    roll-out that keeps all sampled limits is rolled back all the same, over all its looks, steps and limits.
    """

    queue: str
    to: str
    steps: tuple[int, ...] = (1, 5, 25, 50, 100)  # percent
    every_ms: int = 600_000  # the least time of a step
    delay_ms: int = 30_000  # from the start to the first figures that count: things get warm
    stand_ms: int = 0  # how much longer the last step must hold
    max_error_rate: float | None = None  # failed attempts among those that ended
    max_p95_ms: int | None = None  # of the duration of attempts
    max_queue_latency_ms: int | None = None  # p95 of the time from due to start
    max_backlog: int | None = None  # jobs that are due and wait on the new side
    min_jobs: int = 200  # that must have ended on the new side in each step
    unreadable_looks: int = 3  # in a row, after which it is on hold
    false_alarm: float = 0.01
    tolerance: float = 1.5
    waiting: Waiting = "run"


def parse_plan(queue: str, given: Mapping[str, object], what: str = "rollout") -> Plan:
    """Read a plan as the command line and plan files write it: `every = "10m"`, `max_error_rate = "1%"`.

    ConfigError begins with `what` and names the setting: unknown, of the wrong type, or a limit that no data can meet.
    """
    for key in given:
        if key not in _READERS:
            close = get_close_matches(key, _READERS, n=1)
            hint = f"; do you mean {close[0]!r}?" if close else f"; there are {', '.join(_READERS)}"
            msg = f"{what}: unknown setting {key!r}{hint}"
            raise ConfigError(msg)
    if "to" not in given:
        msg = f"{what}: 'to' is missing: the carrier that the queue goes to"
        raise ConfigError(msg)
    try:
        checked_name("queue", queue)
    except DeclarationError as error:
        msg = f"{what}: {error}"
        raise ConfigError(msg) from error
    fields: dict[str, Any] = {}
    for key, value in given.items():
        field, read = _READERS[key]
        fields[field] = read(value, f"{what}: {key}")
    return Plan(queue=queue, **fields)


def check_against(plan: Plan, route: Route, carriers: Collection[str], what: str = "rollout") -> None:
    """Refuse a plan that does not fit where the queue goes now; ConfigError begins with `what`."""
    if plan.to not in carriers:
        msg = f"{what}: to: there is no carrier {plan.to!r}; the carriers are {', '.join(carriers)}"
        raise ConfigError(msg)
    now = route.weights.get(plan.to, 0)
    if now == 100:  # noqa: PLR2004 - percent
        msg = f"{what}: to: all jobs of {plan.queue} go to {plan.to} already"
        raise ConfigError(msg)
    if plan.steps[0] <= now:
        msg = f"{what}: steps: the first is {plan.steps[0]} percent, but {plan.to} has {now} already; begin above it"
        raise ConfigError(msg)


def _steps(value: object, what: str) -> tuple[int, ...]:
    parts: list[object] = [*cast("list[object]", value)] if isinstance(value, list | tuple) else [value]
    if isinstance(value, str):
        parts = [int(part) if _WHOLE.fullmatch(part.strip()) else part for part in value.split(",")]
    steps: list[int] = []
    for part in parts:
        if type(part) is not int or not 1 <= part <= 100:  # noqa: PLR2004 - percent
            msg = f"{what} must be whole percentages from 1 to 100, such as 1,5,25,50,100; got {part!r}"
            raise ConfigError(msg)
        if steps and part <= steps[-1]:
            msg = f"{what} must rise: {part} comes after {steps[-1]}"
            raise ConfigError(msg)
        steps.append(part)
    if not steps:
        msg = f"{what} must name at least one percentage"
        raise ConfigError(msg)
    return tuple(steps)


def _time(value: object, what: str, least: int = 0, why: str = "") -> int:
    try:
        ms = duration_ms(cast("Any", value), what)
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    if ms < least:
        msg = f"{what} must be at least {least} ms{why}, got {value!r}"
        raise ConfigError(msg)
    return ms


def _step_time(value: object, what: str) -> int:
    return _time(value, what, 1000)


def _time_limit(value: object, what: str) -> int:
    return _time(value, what, 1, ": nothing shorter is measured, so that no job could meet it")


def _rate(value: object, what: str) -> float:
    rate = _share(value, what)
    if not 0 < rate < 1:
        msg = (
            f"{what} must be above 0% and below 100%, got {value!r}: no number of jobs can prove a rate of 0%"
        )
        raise ConfigError(msg)
    return rate


def _false_alarm(value: object, what: str) -> float:
    rate = _share(value, what)
    if not 0.00001 <= rate <= 0.5:  # noqa: PLR2004 - as the message says
        msg = f"{what} must be from 0.001% to 50%, got {value!r}"
        raise ConfigError(msg)
    return rate


def _share(value: object, what: str) -> float:
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        return float(match[1]) / 100
    if isinstance(value, float):
        return value
    msg = f"{what} must be a percentage such as 1% or a share such as 0.01, got {value!r}"
    raise ConfigError(msg)


def _count(value: object, what: str) -> int:
    number = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
    if type(number) is not int or not 1 <= number <= _MOST_JOBS:
        msg = f"{what} must be a whole number from 1 to {_MOST_JOBS}, got {value!r}"
        raise ConfigError(msg)
    return number


def _tolerance(value: object, what: str) -> float:
    try:
        number = float(cast("Any", value))
    except (TypeError, ValueError):
        number = 0.0
    if isinstance(value, bool) or not 1 <= number <= 100:  # noqa: PLR2004 - as the message says
        msg = f"{what} must be a number from 1 (no worse than the other side) to 100, got {value!r}"
        raise ConfigError(msg)
    return number


def _waiting(value: object, what: str) -> Waiting:
    if value in ("run", "move", "stay"):
        return value
    msg = f"{what} must be run (there), move (back) or stay (unrun), got {value!r}"
    raise ConfigError(msg)


_WHOLE: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%", re.ASCII)
_READERS: Final = {
    "to": ("to", checked_carrier),
    "steps": ("steps", _steps),
    "every": ("every_ms", _step_time),
    "delay": ("delay_ms", _time),
    "stand": ("stand_ms", _time),
    "max_error_rate": ("max_error_rate", _rate),
    "max_p95": ("max_p95_ms", _time_limit),
    "max_queue_latency": ("max_queue_latency_ms", _time_limit),
    "max_backlog": ("max_backlog", _count),
    "min_jobs": ("min_jobs", _count),
    "unreadable_looks": ("unreadable_looks", _count),
    "false_alarm": ("false_alarm", _false_alarm),
    "tolerance": ("tolerance", _tolerance),
    "waiting": ("waiting", _waiting),
}
