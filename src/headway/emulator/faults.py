"""Faults that the real service has now and then, drawn from a seed so that a run can be repeated."""

from __future__ import annotations

import random
import re
from enum import Enum
from typing import Final

from msgspec import Struct

from headway.errors import ConfigError

_DEFAULT_DELAY_MS: Final = 1000
_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000}
_FORM: Final = "duplicates=0.2,delays=0.1:2s,unavailable=0.05,lost=0.05,seed=7"


class Faults(Struct, frozen=True, kw_only=True):
    """How often each fault occurs, as a share of 1, independently of the others.

    `duplicates`: a task is delivered twice, beside the first delivery or after its answer. `delays`: a delivery is
    `delay_ms` late. `unavailable`: an API call is refused with UNAVAILABLE before anything is done, or a delivery
    fails as if the target had answered 503. `lost`: an API call is done and still answered UNAVAILABLE, or the
    target's answer is taken for a broken connection.
    """

    duplicates: float = 0.0
    delays: float = 0.0
    delay_ms: int = _DEFAULT_DELAY_MS
    unavailable: float = 0.0
    lost: float = 0.0
    seed: int = 0


def parse_faults(text: str) -> Faults:
    """Read `duplicates=0.2,delays=0.1:2s,unavailable=0.05,lost=0.05,seed=7`; ConfigError names the wrong part."""
    found: dict[str, float | int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = part.partition("=")
        match name.strip():
            case "duplicates" | "unavailable" | "lost" as kind:
                found[kind] = _share(part, value)
            case "delays":
                share, colon, duration = value.partition(":")
                found["delays"] = _share(part, share)
                if colon:
                    found["delay_ms"] = _duration_ms(part, duration)
            case "seed" if re.fullmatch(r"\s*\d{1,18}\s*", value):
                found["seed"] = int(value)
            case _:
                raise _bad(part)
    return Faults(**found)  # type: ignore[arg-type]  # each name has a value of its own type above


def _share(part: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        raise _bad(part) from None
    if not 0 <= share <= 1:
        raise _bad(part)
    return share


def _duration_ms(part: str, text: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)(ms|s|m)\s*", text)
    if found is None:
        raise _bad(part)
    return round(float(found[1]) * _UNITS[found[2]])


def _bad(part: str) -> ConfigError:
    return ConfigError(f"faults: cannot read {part!r}; shares are from 0 to 1, as in {_FORM!r}")


class Copy(Enum):
    """How often a task is delivered in one dispatch."""

    NONE = 0
    BESIDE = 1  # a second delivery at the same time
    AFTER = 2  # a second one after the first was answered


class Dice:
    """Draws the faults. Each kind has a sequence of its own, so that one more of one kind does not move the others."""

    def __init__(self, faults: Faults) -> None:
        """Begin at the seed."""
        self.faults = faults
        self._random = {
            name: random.Random(f"{faults.seed}:{name}")  # noqa: S311 - repeatable, not secret
            for name in (
                "duplicates",
                "delays",
                "unavailable-call",
                "lost-call",
                "unavailable-target",
                "lost-target",
            )
        }
        self.drawn = dict.fromkeys(self._random, 0)

    def _draw(self, name: str, share: float) -> bool:
        if share <= 0 or self._random[name].random() >= share:
            return False
        self.drawn[name] += 1
        return True

    def copy(self) -> Copy:
        """Draw whether a dispatch delivers twice."""
        if not self._draw("duplicates", self.faults.duplicates):
            return Copy.NONE
        return Copy.BESIDE if self._random["duplicates"].random() < 0.5 else Copy.AFTER  # noqa: PLR2004 - half

    def delay_ms(self) -> int:
        """Draw how late a delivery is."""
        return self.faults.delay_ms if self._draw("delays", self.faults.delays) else 0

    def call_refused(self) -> bool:
        """Draw whether an API call is refused."""
        return self._draw("unavailable-call", self.faults.unavailable)

    def call_lost(self) -> bool:
        """Draw whether the answer to an API call is lost."""
        return self._draw("lost-call", self.faults.lost)

    def target_refused(self) -> bool:
        """Draw whether a delivery meets a 503."""
        return self._draw("unavailable-target", self.faults.unavailable)

    def target_lost(self) -> bool:
        """Draw whether a target's answer is lost."""
        return self._draw("lost-target", self.faults.lost)
