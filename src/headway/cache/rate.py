"""Rates as text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple, cast

from headway.errors import ConfigError
from headway.settingtext import parse_duration

_RATE: Final = re.compile(r"\s*([1-9]\d{0,8})\s*/\s*(\S+)\s*")
_UNIT: Final = re.compile(r"(?:ms|s|m|h|d)")


class Rate(NamedTuple):
    """So many in each period."""

    limit: int
    period_us: int


class Pace(NamedTuple):
    """One in each spacing, and so far ahead of it; both in microseconds."""

    spacing: int
    burst: int


@lru_cache(maxsize=256)  # the same few are asked for with each job
def parse_rate(text: str) -> Rate:
    """Read `10/5s`, `100/1m` or `5/s`; ConfigError when it is none."""
    match = _RATE.fullmatch(text)
    if match is None:
        msg = f"rate {text!r}: write a number and a period, such as 10/5s or 100/1m"
        raise ConfigError(msg)
    period = f"1{match[2]}" if _UNIT.fullmatch(match[2]) else match[2]
    rate = Rate(int(match[1]), round(parse_duration(period, f"rate {text!r}") * 1_000_000))
    if rate.period_us < rate.limit:
        msg = f"rate {text!r}: more than one in a microsecond cannot be told apart"
        raise ConfigError(msg)
    return rate


def checked_rate(text: str, key: str, cost: int) -> Pace:
    """Return the pace of a rate; ConfigError when it could never allow the cost."""
    limit, period_us = parse_rate(text)
    given = cast("object", cost)  # of users, whose checker may not look
    if not isinstance(given, int) or not 1 <= given <= limit:
        msg = f"rate {text!r} of {key!r}: the cost must be 1 to {limit}, got {cost}"
        raise ConfigError(msg)
    spacing = period_us // limit
    return Pace(spacing, spacing * limit)
