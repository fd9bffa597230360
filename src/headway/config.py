"""Settings as they are read: from arguments, `HEADWAY_*` variables and `headway.toml`, in this order, checked once."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from headway.clock import LONGEST_MS
from headway.errors import ConfigError, DeclarationError
from headway.job import PRIORITY_MAX, PRIORITY_MIN
from headway.names import checked_name
from headway.settings import MAIN, GivenSettings, Settings
from headway.settingtext import (
    CARRIER,
    parse_carriers,
    parse_duration,
    parse_routes,
    parse_table,
    parse_text_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MAIN", "GivenSettings", "Settings", "load_settings"]

_MINIMA: Final[dict[str, float]] = {
    "spool_limit": 1,
    "spool_bytes": 1024,
    "breaker_errors": 1,
    "breaker_window": 0.1,
    "breaker_timeout": 0.05,
    "breaker_pause": 0.05,
    "timeout": 0.001,
    "kill_after": 0,
    "max_crashes": 1,
    "payload_limit": 1,
    "compress_over": 0,
    "keep_succeeded": 0,
    "keep_failed": 0,
    "max_succeeded": 0,
    "records_keep_completed": 0,
    "records_keep_failed": 0,
    "lease": 0.5,
    "grace": 0,
    "processes": 0,
    "concurrency": 1,
    "max_jobs": 0,
    "max_memory_mb": 0,
    "push_lease": 5,
    "push_concurrency": 1,
    "push_grace": 0,
    "guard_budget": 0,
    "offload_over": 1,
    "offload_limit": 1,
}
_MOST: Final = LONGEST_MS // 1000  # seconds, of durations; of numbers it is far beyond all sense, too
_DURATIONS: Final = frozenset(
    {
        "breaker_window",
        "breaker_timeout",
        "breaker_pause",
        "timeout",
        "kill_after",
        "keep_succeeded",
        "keep_failed",
        "records_keep_completed",
        "records_keep_failed",
        "lease",
        "grace",
        "push_lease",
        "push_grace",
    }
)
_ROTATED: Final = ("service_account", "push_secret")
_LISTS: Final = frozenset({"include", "queues", "priority_bands"})
_TABLES: Final = frozenset({"queue_concurrency", "queue_weights"})
_TEXT_TABLES: Final = frozenset({"targets"})
# Variables that steer the command line or the tests, not an app.
_OTHER_VARIABLES: Final = frozenset({"HEADWAY_CONFIG", "HEADWAY_APP", "HEADWAY_REDIS_SERVER"})


def load_settings(
    given: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> Settings:
    """Read, merge and check the settings.

    `given` are arguments (None values count as not given). `file` defaults to the one named by HEADWAY_CONFIG, else to
    `headway.toml` in the working directory if there is one. ConfigError names the setting and where it came from.
    """
    environ = os.environ if environ is None else environ
    named = environ.get("HEADWAY_CONFIG")
    path = file or (Path(named) if named else Path("headway.toml"))
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for source, values in (
        (str(path), _from_file(path, required=file is not None or bool(named))),
        ("environment", _from_environment(environ)),
        ("argument", {key: value for key, value in (given or {}).items() if value is not None}),
    ):
        for key, value in values.items():
            merged[key] = value
            origin[key] = f"HEADWAY_{key.upper()}" if source == "environment" else f"{source}: {key}"
    for key, value in merged.items():
        if key not in _FIELDS:
            close = _closest(key)
            msg = f"{origin[key]}: there is no such setting{f', did you mean {close}?' if close else ''}"
            raise ConfigError(msg)
        if key in _DURATIONS:
            merged[key] = parse_duration(value, origin[key])
    _choose_url(merged, origin)
    return _checked(merged, origin)


def _choose_url(merged: dict[str, Any], origin: dict[str, str]) -> None:
    """Where carriers are named, the first of them is the one that commands about one carrier mean."""
    carriers = merged.get("carriers")
    if not isinstance(carriers, dict) or not carriers:
        return
    urls: list[Any] = list(carriers.values())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if "url" in merged and merged["url"] != urls[0]:
        msg = f"{origin['url']}: {origin['carriers']} names the carriers of this app; name this one there as well"
        raise ConfigError(msg)
    merged["url"] = urls[0]


def _checked(merged: dict[str, Any], origin: dict[str, str]) -> Settings:
    """Convert and check the values; `origin` says where each came from."""
    settings = _converted(merged, origin)
    for key, rule in _broken_rules(settings):
        msg = f"{origin.get(key, key)}{rule}"
        raise ConfigError(msg)
    return settings


def _converted(merged: dict[str, Any], origin: dict[str, str]) -> Settings:
    try:
        return msgspec.convert(merged, Settings, strict=False)
    except (ValueError, TypeError, OverflowError) as error:
        for key, value in merged.items():
            try:
                msgspec.convert({key: value}, Settings, strict=False)
            except (ValueError, TypeError, OverflowError) as own:
                msg = f"{origin[key]}: {str(own).partition(' - at')[0]}"
                raise ConfigError(msg) from own
        msg = f"settings: {error}"
        raise ConfigError(msg) from error


def _broken_rules(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the settings that break a rule, each with the end of the message that says which."""
    yield from _numbers_out_of_range(settings)
    for name, key in _names_in(settings):
        try:
            checked_name(key, name)
        except DeclarationError as error:
            yield key, f": {error}"
    for module in settings.include:
        if not all(part.isidentifier() for part in module.split(".")):
            yield "include", f": {module!r} is no name of a module, such as shop.jobs"
    for name in settings.carriers:
        if not CARRIER.fullmatch(name) or name == "by":
            yield (
                "carriers",
                f": a carrier's name has 1 to 32 letters, digits, - and _, and is not 'by'; got {name!r}",
            )
    if settings.routes and not settings.carriers:
        yield "routes", ": there is only one carrier; name several in `carriers`"
    for key in _ROTATED:
        text = getattr(settings, key)
        if text and not all(part.strip() for part in text.split(",")):
            yield key, ": nothing stands before, behind or between the commas; write one,another"


def _numbers_out_of_range(settings: Settings) -> Iterator[tuple[str, str]]:
    for key, least in _MINIMA.items():
        value = getattr(settings, key)
        if not least <= value < math.inf:
            yield key, f": must be at least {least:g} and finite, got {value}"
        elif value > _MOST:
            yield key, f": must be at most {_MOST}, got {value}"
    for table in _TABLES:
        for queue, number in getattr(settings, table).items():
            if number < 1:
                yield table, f".{queue}: must be at least 1, got {number}"
    for band in settings.priority_bands:
        if not PRIORITY_MIN <= band <= PRIORITY_MAX:
            yield (
                "priority_bands",
                f": must be numbers from {PRIORITY_MIN} to {PRIORITY_MAX}, got {band}",
            )


def _names_in(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the names that carriers must hold, each with the setting that has it."""
    if settings.namespace:
        yield settings.namespace, "namespace"
    for key in ("queues", "routes", *_TABLES, *_TEXT_TABLES):
        for name in getattr(settings, key):
            yield name, key


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if not required:
            return {}
        msg = f"{path}: there is no such file"
        raise ConfigError(msg) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise ConfigError(msg) from error
    import tomllib  # noqa: PLC0415 - only where there is a file: it costs 5 ms

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith("HEADWAY_") or variable in _OTHER_VARIABLES or not text:
            continue  # an empty one counts as not set: that is how a Compose file or a CI job leaves one out
        key = variable.removeprefix("HEADWAY_").lower()
        if key in _LISTS:
            values[key] = [part.strip() for part in text.split(",") if part.strip()]
        elif key in _TABLES:
            values[key] = parse_table(text, variable)
        elif key in _TEXT_TABLES:
            values[key] = parse_text_table(text, variable)
        elif key == "carriers":
            values[key] = parse_carriers(text, variable)
        elif key == "routes":
            values[key] = parse_routes(text, variable)
        elif key in _FIELDS:
            values[key] = text
        # Unknown variables are left alone: the prefix is not ours alone, unlike the file.
    return values


def _closest(key: str) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - only for the message

    return next(iter(get_close_matches(key, _FIELDS, n=1)), None)


_FIELDS: Final = frozenset(Settings.__struct_fields__)
