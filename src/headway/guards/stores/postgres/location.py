"""What the URL of a PostgreSQL says: libpq's part, and ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from headway.addresses import checked_address, option_in
from headway.errors import ConfigError

_MOST: Final = 100
_CONNECTIONS: Final = 16  # opened as they are needed; at a round trip of 12 ms: a thousand calls a second
_SCHEMA: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class Location:
    """The password stays out of its repr and of `name`."""

    name: str  # for messages
    conninfo: str = field(repr=False)
    schema: str = "public"
    connections: int = _CONNECTIONS


def parse(url: str) -> Location:
    """Read a URL. ConfigError names what is wrong with it, and never repeats it: it may hold a password."""
    checked_address(url, "PostgreSQL URL", hosts=True)
    try:
        parts = urlsplit(url)
    except ValueError:
        msg = "PostgreSQL URL: the host is wrong: write postgresql://user:password@host:5432/database"
        raise ConfigError(msg) from None
    rest: list[tuple[str, str]] = []
    schema, connections = "public", _CONNECTIONS
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        if option == "schema":
            if not _SCHEMA.fullmatch(value):
                msg = "PostgreSQL URL: schema must be a plain name"
                raise ConfigError(msg)
            schema = value
        elif option == "connections":
            if not value.isdecimal() or not 1 <= int(value) <= _MOST:
                msg = f"PostgreSQL URL: connections must be 1 to {_MOST}"
                raise ConfigError(msg)
            connections = int(value)
        else:
            rest.append((option, value))
    conninfo = urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(rest), ""))
    try:
        given = conninfo_to_dict(conninfo)
    except psycopg.Error as error:
        msg = f"PostgreSQL URL: libpq cannot read it, {option_in(str(error))} is wrong: write postgresql://user:password@host:5432/database"
        raise ConfigError(msg) from None
    name = (
        f"postgresql://{given.get('host', 'localhost')}:{given.get('port', 5432)}/{given.get('dbname', '')}"
    )
    return Location(name, conninfo, schema, connections)
