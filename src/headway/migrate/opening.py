"""From `--from` and `--source` to a source. Each package of `sources/` has a `make(url, options)` in `source.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.migrate.source import Source

KINDS: Final = ("bullmq", "bull", "arq")
MAX_BYTES: Final = 1024 * 1024
_PATH: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


class SourceOptions(Struct, frozen=True):
    """What a source may be told beside its URL. `prefix` None: the library's own."""

    prefix: str | None = None
    serializer: str = "pickle"  # of arq
    allow_pickle: bool = False
    classes: Mapping[tuple[str, str], type] = {}  # that pickles may hold, by module and qualified name
    max_bytes: int = MAX_BYTES  # of the arguments of one job


def open_source(kind: str, url: str, options: SourceOptions | None = None) -> Source:
    """Make a source that is not open yet: one of KINDS, or `module:function` of one's own; ConfigError."""
    if kind in KINDS:
        make = _found(f"headway.migrate.sources.{kind}.source:make", kind)
    elif _PATH.fullmatch(kind):
        make = _found(kind, kind)
    else:
        msg = f"--from must be one of {', '.join(KINDS)}, or module:function of a source of your own; got {kind!r}"
        raise ConfigError(msg)
    return cast("Source", make(url, options or SourceOptions()))


def load_class(path: str) -> tuple[tuple[str, str], type]:
    """Import a class that pickles may hold, written `module:Name`; ConfigError."""
    if not _PATH.fullmatch(path):
        msg = f"--allow-class must be module:Name, got {path!r}"
        raise ConfigError(msg)
    found: object = _found(path, path)
    if not isinstance(found, type):
        msg = f"--allow-class: {path!r} is no class"
        raise ConfigError(msg)
    module, _, name = path.partition(":")
    return (module, name), found


def _found(path: str, shown: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    try:
        return cast("Callable[..., Any]", getattr(import_module(module), name))
    except ModuleNotFoundError as error:
        if error.name in {"redis", "hiredis"}:
            msg = f"{shown} needs the client of Redis: pip install 'headway[migrate]'"
            raise ConfigError(msg) from error
        msg = f"{shown!r} cannot be imported: {error}"
        raise ConfigError(msg) from error
    except AttributeError as error:
        msg = f"{shown!r} cannot be imported: {error}"
        raise ConfigError(msg) from error
