"""Addresses that may hold a password: looked at before they are read, and never repeated in a message."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from headway.errors import ConfigError

_ESCAPED: Final = "in a user name or a password write / as %2F, ? as %3F, # as %23, @ as %40 and : as %3A"

_WORD: Final = re.compile(r"[a-z][a-z_]{0,40}")
_QUOTED: Final = re.compile(r"[\"']([a-z_]+)[\"']")


def checked_address(url: str, what: str, *, hosts: bool = False) -> tuple[str, str]:
    """Return the scheme in lower case and the rest; ConfigError when a password may stand where something else is read.

    `what` begins the message, which repeats nothing of the URL. `hosts`: there may be several, behind commas.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        msg = f"{what}: it must begin with a scheme and ://"
        raise ConfigError(msg)
    end = min((place for mark in "/?#" if (place := rest.find(mark)) >= 0), default=len(rest))
    if "@" in rest[end:]:
        msg = f"{what}: an @ stands behind the host: {_ESCAPED}"
        raise ConfigError(msg)
    if "#" in rest:
        msg = f"{what}: nothing may follow the host, path and options behind a #: {_ESCAPED}"
        raise ConfigError(msg)
    if not hosts and not _has_sound_host(url):
        msg = f"{what}: the host or its port is wrong: write host:port, port 1 to 65535; {_ESCAPED}"
        raise ConfigError(msg)
    return scheme.lower(), rest


def option_named(name: str) -> str:
    """Write "option 'name'" for a message, without the name when it is no plain word: it may be half of a password."""
    return f"option {name!r}" if _WORD.fullmatch(name) else "an option"


def option_in(text: str) -> str:
    """Do the same for the first word in quotes of what a library says of a URL."""
    quoted = _QUOTED.search(text)
    return option_named(quoted[1] if quoted else "")


def _has_sound_host(url: str) -> bool:
    try:
        port = urlsplit(url).port
    except ValueError:
        return False
    return port != 0
