"""arq's `cron(...)` as a cron expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.migrate.rewrite.constants import NotConstantError, constant

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Mapping

# arq's fields in the order of a cron expression, each with its first value and the one behind its last.
_FIELDS: Final = {
    "second": range(60),
    "minute": range(60),
    "hour": range(24),
    "day": range(1, 32),
    "month": range(1, 13),
    "weekday": range(7),
}
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # arq counts from Monday, cron from Sunday


class NoCrontabError(Exception):
    """There is no such expression; the message says why."""


def crontab(given: Mapping[str, ast.expr], text: Callable[[ast.expr], str]) -> str:
    """Return the Python source of the cron expression for the arguments of `cron(...)`; NoCrontabError.

    It is a literal where the arguments are, else an f-string around `text` of them.
    """
    fields = {name: _field(name, given.get(name), values, text) for name, values in _FIELDS.items()}
    if fields["day"] != "*" and fields["weekday"] != "*":
        msg = "arq fires when day and weekday both match, cron when either does"
        raise NoCrontabError(msg)
    if fields["second"] == "0":
        del fields["second"]
    expression = " ".join(fields.values())
    return f'f"{expression}"' if "{" in expression else f'"{expression}"'


def _field(name: str, node: ast.expr | None, values: range, text: Callable[[ast.expr], str]) -> str:
    if node is None:
        return "0" if name == "second" else "*"
    try:
        value = constant(node)
    except NotConstantError:
        written = text(node)
        if written.isdigit():
            return _written(name, [int(written)], values) if int(written) in values else written
        if written.replace(".", "").isidentifier():
            return f"{{{written}}}"
        msg = f"{name}={written} is known only when the code runs"
        raise NoCrontabError(msg) from None
    if value is None:
        return "*"
    try:
        numbers = sorted({_number(name, one) for one in (value if isinstance(value, list) else [value])})
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not set(numbers) <= set(values):
        msg = f"{name}={text(node)} has no such values"
        raise NoCrontabError(msg)
    return _written(name, numbers, values)


def _number(name: str, value: object) -> int:
    if name == "weekday" and isinstance(value, str):
        return _DAYS.index(value.lower())
    if isinstance(value, int):
        return value
    raise TypeError


def _written(name: str, numbers: list[int], values: range) -> str:
    if numbers == list(values):
        return "*"
    if name == "weekday":
        return ",".join(_DAYS[one] for one in numbers)
    if name in {"second", "minute", "hour"} and len(numbers) > 1:
        step = numbers[1]
        if numbers == list(values[::step] if step else []):
            return f"*/{step}"
    return ",".join(map(str, numbers))
