"""Where the records of an app lie, by a URL: in a PostgreSQL, or in a SQLite file."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from msgspec import Struct

from headway.errors import ConfigError
from headway.text import redact

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_OTHER: Final = re.compile(r"[^a-z0-9_]")
_LONGEST: Final = 63  # bytes of a name in PostgreSQL
_CONNECTIONS: Final = 10
_MOST: Final = 100


class Place(Struct, frozen=True):
    """Where the records lie; `address` is SQLAlchemy's, with the password, `name` is for messages, without."""

    address: str
    name: str
    schema: str | None = None
    connections: int = _CONNECTIONS

    def __repr__(self) -> str:
        """Show where, without the password."""
        return f"<records in {self.name}>"

    @property
    def is_sqlite(self) -> bool:
        """True for a file."""
        return self.schema is None


def parse(url: str, namespace: str) -> Place:
    """Read the setting `records`; ConfigError says what is wrong with it, without its password."""
    scheme, separator, rest = url.partition("://")
    kind = scheme.lower()
    if not separator or kind not in {"sqlite", "postgresql", "postgres"}:
        msg = "records: must be postgresql://user:password@host/database or sqlite:///file.db"
        raise ConfigError(msg)
    if kind == "sqlite":
        _needs("aiosqlite")
        path = rest.removeprefix("/").partition("?")[0]
        if not rest.startswith("/") or not path or path == ":memory:":
            msg = "records: sqlite:///records.db is a file here, sqlite:////var/lib/records.db one anywhere"
            raise ConfigError(msg)
        return Place(f"sqlite+aiosqlite:///{path}", redact(url))
    _needs("psycopg")
    return _postgres(url, rest, namespace)


def _postgres(url: str, rest: str, namespace: str) -> Place:
    try:
        parts = urlsplit(f"postgresql://{rest}")
        port = parts.port
    except ValueError:
        msg = "records: the host or the port is wrong: write postgresql://user:password@host:5432/database"
        raise ConfigError(msg) from None
    del port  # read to be checked
    schema, connections = schema_of(namespace), _CONNECTIONS
    others: list[tuple[str, str]] = []
    for option, value in parse_qsl(parts.query, keep_blank_values=True):
        if option == "schema":
            if not _PLAIN.fullmatch(value):
                msg = "records: schema must be a plain name"
                raise ConfigError(msg)
            schema = value
        elif option == "connections":
            if not value.isdecimal() or not 1 <= int(value) <= _MOST:
                msg = f"records: connections must be 1 to {_MOST}"
                raise ConfigError(msg)
            connections = int(value)
        else:
            others.append((option, value))
    address = urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, urlencode(others), ""))
    return Place(address, redact(url), schema, connections)


def schema_of(namespace: str) -> str:
    """Return the schema of an app: its name behind `headway_`, so that several apps share a database."""
    plain = _OTHER.sub("_", namespace.lower())
    if plain != namespace:  # two names must not become one
        from hashlib import blake2b  # noqa: PLC0415 - few names need it

        plain = f"{plain[:40]}_{blake2b(namespace.encode(errors='replace'), digest_size=4).hexdigest()}"
    return f"headway_{plain}"[:_LONGEST]


def _needs(package: str) -> None:
    for one in ("sqlalchemy", "alembic", package):
        try:
            import_module(one)
        except ImportError as error:
            msg = f"records need the package {one}: pip install 'headway[records]'"
            raise ConfigError(msg) from error


def engine_options(place: Place) -> dict[str, Any]:
    """Return how SQLAlchemy opens it."""
    if place.is_sqlite:
        return {"connect_args": {"timeout": 20}}
    return {
        "connect_args": {
            "connect_timeout": 5,
            "application_name": "headway records",
            "prepare_threshold": None,  # a named statement does not survive PgBouncer
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
        },
        "pool_size": place.connections,
        "max_overflow": 0,
        "pool_timeout": 10,
        "pool_pre_ping": True,
        "execution_options": {"schema_translate_map": {None: place.schema}},
    }
