"""How settings are written as text: values divided by commas, durations, tables, carriers, routes; pure."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import Any, Final

from headway.clock import text_seconds
from headway.errors import ConfigError

# A URL may hold commas (the hosts of a Cluster): only one with a name, a sign and a scheme behind it divides.
_NEXT_CARRIER: Final = re.compile(r",\s*(?=[A-Za-z0-9_-]+=[A-Za-z][A-Za-z+]*://)")
CARRIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
"""What a carrier may be called."""
_SIMPLE_ROUTE: Final = re.compile(r"[^\s=,{}\"]+=[A-Za-z0-9_-]+")


def several(text: str) -> tuple[str, ...]:
    """Return the values of a setting that takes several, divided by commas: the first is used, all are accepted.

    Tasks wait for up to 30 days with what was true when they were made: so it can be replaced without refusing them.
    """
    return tuple(part for part in map(str.strip, text.split(",")) if part)


def first(text: str) -> str:
    """Return the value that is used of such a setting; empty: there is none."""
    return next(iter(several(text)), "")


def parse_duration(value: object, name: str) -> float:
    """Seconds of `15`, `1.5`, `500ms`, `15s`, `2m`, `24h`, `7d` or of a timedelta; ConfigError names the setting."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool):
        # An int may be larger than a float can be.
        return float(max(-sys.float_info.max, min(value, sys.float_info.max)))
    try:
        if isinstance(value, str):
            return text_seconds(value, name)
    except ValueError:
        pass
    msg = f"{name}: {value!r} is not a duration; write seconds or 500ms, 15s, 2m, 24h, 7d"
    raise ConfigError(msg)


def parse_table(text: str, name: str) -> dict[str, int]:
    """Read `email=5,reports=1`; ConfigError names the setting."""
    table: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        queue, _, number = part.partition("=")
        if not queue or not number.isdecimal():
            msg = f"{name}: {part!r} must be queue=number"
            raise ConfigError(msg)
        table[queue] = int(number)
    return table


def parse_text_table(text: str, name: str) -> dict[str, str]:
    """Read `email=https://one.example,reports=https://two.example`; ConfigError names the setting."""
    table: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = part.partition("=")
        if not key or not value:
            msg = f"{name}: {part!r} must be queue=URL"
            raise ConfigError(msg)
        table[key] = value
    return table


def parse_carriers(text: str, name: str) -> dict[str, str]:
    """Read `main=redis://one.example/0,push=cloudtasks://project/location`; ConfigError names the setting."""
    table: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in _NEXT_CARRIER.split(text))):
        key, _, value = part.partition("=")
        if not CARRIER.fullmatch(key) or "://" not in value or key in table:
            msg = f"{name}: must be carriers as name=URL, divided by commas, each name once"
            raise ConfigError(msg)
        table[key] = value
    return table


def parse_routes(text: str, name: str) -> dict[str, Any]:
    """Read `email=push,reports=main`, or what stands below `[routes]` in headway.toml, with commas; ConfigError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if all(_SIMPLE_ROUTE.fullmatch(part) for part in parts):
        return dict(part.split("=", 1) for part in parts)
    import tomllib  # noqa: PLC0415 - only where weights are given

    try:
        return dict(tomllib.loads(f"routes = {{ {text} }}")["routes"])
    except tomllib.TOMLDecodeError as error:
        msg = f"{name}: must be queue=carrier with commas, or as in headway.toml: reports = {{ main = 90, push = 10 }}"
        raise ConfigError(msg) from error
