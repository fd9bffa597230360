"""What the options of several commands share: types of values, texts of help."""

from __future__ import annotations

import os
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headway.errors import ConfigError
from headway.settingtext import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    _FloatType = click.ParamType[float]
    _InstantType = click.ParamType[datetime]
    _NamesType = click.ParamType[list[str]]
else:  # before click 8.3 it takes no type
    _FloatType = _InstantType = _NamesType = click.ParamType

F = TypeVar("F", bound="Callable[..., Any]")
R = TypeVar("R")


class Duration(_FloatType):
    """Seconds, written as `15`, `500ms`, `15s`, `2m`, `24h` or `7d`."""

    name = "duration"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - what click has
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return seconds."""
        try:
            return parse_duration(value if isinstance(value, int | float) else str(value), "duration")
        except ConfigError as error:
            self.fail(str(error).removeprefix("duration: "), param, ctx)


class Instant(_InstantType):
    """An instant of ISO 8601 with its time zone."""

    name = "iso-time"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - what click has
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> datetime:
        """Return an aware datetime."""
        if isinstance(value, datetime):
            return value
        try:
            instant = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 time; write 2030-01-31T09:00+01:00", param, ctx)
        if instant.tzinfo is None:
            self.fail(
                f"{value!r} has no time zone; write {value}Z for UTC, or its offset such as {value}+01:00",
                param,
                ctx,
            )
        return instant


class Names(_NamesType):
    """Names with commas between them."""

    name = "a,b"

    def convert(
        self,
        value: Any,  # noqa: ANN401 - what click has
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> list[str]:
        """Return the names."""
        if isinstance(value, list):
            return [str(name) for name in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        names = [name.strip() for name in str(value).split(",") if name.strip()]
        if not names:
            self.fail("names nothing", param, ctx)
        return names


DURATION = Duration()
INSTANT = Instant()
NAMES = Names()


def examples(*lines: str) -> str:
    """Return an epilog of examples, each on a line of its own."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def json_option(what: str) -> Callable[[F], F]:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON on stdout.")


def log_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add `--log-level` and `--log-format`, which all processes of the command find in their environment."""

    @click.option(
        "--log-level",
        type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], case_sensitive=False),
        envvar="HEADWAY_LOG_LEVEL",
        show_envvar=True,
        help="What is logged at the least.  [default: INFO]",
    )
    @click.option(
        "--log-format",
        type=click.Choice(["text", "json"], case_sensitive=False),
        envvar="HEADWAY_LOG_FORMAT",
        show_envvar=True,
        help="How.  [default: text]",
    )
    @wraps(function)
    def command(
        *args: Any,  # noqa: ANN401 - the command's own
        log_level: str | None,
        log_format: str | None,
        **kwargs: Any,  # noqa: ANN401 - the command's own
    ) -> R:
        for variable, value in (("HEADWAY_LOG_LEVEL", log_level), ("HEADWAY_LOG_FORMAT", log_format)):
            if value is not None:
                os.environ[variable] = value
        return function(*args, **kwargs)

    return command


def yes_option(function: F) -> F:
    """Add `--yes`."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(function)


def metrics_options(function: F) -> F:
    """Add --metrics-port and --metrics-host."""
    function = click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        help="Serve metrics for Prometheus on this port; 0: a free one.  [default: none]",
    )(function)
    return click.option(
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        help="The address on which metrics are served.",
    )(function)
