"""Reads `map.toml`, or the name of a function in its place; ConfigError names what is wrong and where."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from headway.errors import ConfigError
from headway.migrate.mapping import Arguments, Expiry, Ids, JobMap, Retries, Rule, checked_priority
from headway.names import valid_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headway.migrate.mapping import MapFunction

_FUNCTION: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_MAX_BYTES: Final = 4 * 1024 * 1024


class _Job(msgspec.Struct, forbid_unknown_fields=True):
    name: str = "*"
    queue: str = "*"
    task: str = ""
    arguments: Arguments = Arguments.CALL
    rename: dict[str, str] = {}
    constant: dict[str, Any] = {}
    drop: list[str] = []
    to_queue: str = ""
    priority: int | None = None
    attempts: int | None = None
    ids: Ids | None = None
    expires: Expiry | None = None
    function: str = ""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    job: list[_Job] = []
    queues: dict[str, str] = {}
    priorities: dict[str, int] = {}
    attempts: int | None = None
    ids: Ids = Ids.KEY
    expires: Expiry = Expiry.KEEP
    retries: Retries = Retries.THEIRS


def read_map(text: str) -> JobMap:
    """Read a map: the path of a TOML file, or `module:function`."""
    if _FUNCTION.fullmatch(text) and not Path(text).exists():
        return JobMap(function=load_function(text))
    path = Path(text)
    try:
        if path.stat().st_size > _MAX_BYTES:
            msg = f"map {text}: it has more than {_MAX_BYTES:,} bytes"
            raise ConfigError(msg)
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"map {text}: it cannot be read: {error.strerror or error}"
        raise ConfigError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"map {text}: it is no TOML: {error}"
        raise ConfigError(msg) from error
    return parse_map(fields, f"map {text}")


def parse_map(fields: Mapping[str, Any], where: str = "map") -> JobMap:
    """Check the fields of a map; ConfigError."""
    try:
        file = msgspec.convert(dict(fields), _File)
    except msgspec.ValidationError as error:
        msg = f"{where}: {error}"
        raise ConfigError(msg) from error
    try:
        return JobMap(
            rules=tuple(_rule(one, n) for n, one in enumerate(file.job, 1)),
            queues={theirs: valid_name(ours, f"queue of {theirs!r}") for theirs, ours in file.queues.items()},
            priorities=_priorities(file.priorities),
            attempts=_attempts(file.attempts, "attempts"),
            ids=file.ids,
            expires=file.expires,
            retries=file.retries,
        )
    except (TypeError, ValueError) as error:
        msg = f"{where}: {error}"
        raise ConfigError(msg) from error


def load_function(path: str) -> MapFunction:
    """Import a mapping function; ConfigError."""
    module, _, name = path.partition(":")
    try:
        found: object = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        msg = f"map: the function {path!r} cannot be imported: {error}"
        raise ConfigError(msg) from error
    if not callable(found):
        msg = f"map: {path!r} is no function"
        raise ConfigError(msg)
    return cast("Callable[[Any], Any]", found)


def _rule(job: _Job, number: int) -> Rule:
    what = f"[[job]] {number} ({job.name!r})"
    if job.function and (job.task or job.rename or job.constant or job.drop):
        msg = f"{what}: a function says the task and the arguments; leave the others out"
        raise ValueError(msg)
    return Rule(
        name=job.name,
        queue=job.queue,
        task=job.task,
        arguments=job.arguments,
        rename=job.rename,
        constant=job.constant,
        drop=tuple(job.drop),
        to_queue=valid_name(job.to_queue, f"{what}: to_queue") if job.to_queue else "",
        priority=None if job.priority is None else checked_priority(job.priority, f"{what}: priority"),
        attempts=_attempts(job.attempts, f"{what}: attempts"),
        ids=job.ids,
        expires=job.expires,
        function=load_function(job.function) if job.function else None,
    )


def _priorities(given: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
    pairs: list[tuple[int, int]] = []
    for most, ours in given.items():
        if not most.isascii() or not most.isdigit():
            msg = f"priorities: {most!r} must be a number: theirs, up to which ours counts"
            raise ValueError(msg)
        pairs.append((int(most), checked_priority(ours, f"priorities: {most}")))
    return tuple(sorted(pairs))


def _attempts(value: int | None, what: str) -> int | None:
    if value is not None and value < 1:
        msg = f"{what} must be 1 or more, got {value}"
        raise ValueError(msg)
    return value
