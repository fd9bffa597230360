"""Where the file is and how it is opened: what a `sqlite:` URL says."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from msgspec import Struct

from headway.addresses import option_named
from headway.errors import ConfigError
from headway.text import redact

_TIMEOUT_MAX_S: Final = 600.0
_SYNCHRONOUS: Final = {"normal": "NORMAL", "full": "FULL"}


class Location(Struct, frozen=True):
    """`timeout_ms` is how long a statement waits for other processes' transactions.

    `synchronous`: NORMAL survives the crash of any process; a crash of the machine or a power cut may lose
    the last commits (never damages the file). FULL waits for the disk at each commit and closes that gap, at
    a price in speed.
    """

    path: Path
    timeout_ms: int = 5000
    synchronous: str = "NORMAL"

    def anchored(self) -> Location:
        """Return the same with the path as it is now, wherever the process goes later."""
        return msgspec.structs.replace(self, path=self.path.absolute())

    @property
    def name(self) -> str:
        """The URL without its options, for messages."""
        return f"sqlite:///{self.path}"


def parse(url: str) -> Location:
    """Read `sqlite:///relative.db` or `sqlite:////absolute.db`; ConfigError names what is wrong with it."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or not url.startswith("sqlite:///"):
        msg = "not a SQLite URL: write sqlite:///relative.db or sqlite:////absolute/path.db"
        raise ConfigError(msg)
    path = unquote(parts.path.removeprefix("/"))
    if not path or path.endswith("/"):
        msg = "the SQLite URL names no file: write sqlite:///relative.db or sqlite:////absolute/path.db"
        raise ConfigError(msg)
    if path == ":memory:" or path.startswith("file:"):
        msg = (
            f"{redact(url)!r}: a database in memory cannot be shared by the processes of an app; name a file"
        )
        raise ConfigError(msg)
    if "\0" in path:
        msg = f"{redact(url)!r}: a path cannot hold a NUL character"
        raise ConfigError(msg)
    timeout_ms, synchronous = 5000, "NORMAL"
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        if option == "timeout":
            timeout_ms = _timeout_ms(url, value)
        elif option == "synchronous":
            if value.lower() not in _SYNCHRONOUS:
                msg = f"{redact(url)!r}: synchronous must be normal or full"
                raise ConfigError(msg)
            synchronous = _SYNCHRONOUS[value.lower()]
        else:
            msg = f"{redact(url)!r}: unknown {option_named(option)}; known are timeout and synchronous"
            raise ConfigError(msg)
    return Location(Path(path), timeout_ms, synchronous)


def _timeout_ms(url: str, value: str) -> int:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= _TIMEOUT_MAX_S:
        msg = f"{redact(url)!r}: timeout must be seconds above 0 and at most {_TIMEOUT_MAX_S:.0f}"
        raise ConfigError(msg)
    return max(1, round(seconds * 1000))
