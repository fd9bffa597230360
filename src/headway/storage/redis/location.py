"""The URL of a Redis: one server, a Sentinel group or a Cluster, with or without TLS."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from headway.addresses import checked_address, option_named
from headway.errors import ConfigError

Address = tuple[str, int]
Layout = Literal["standalone", "sentinel", "cluster"]

_SCHEMES: Final[dict[str, tuple[Layout, bool]]] = {
    "redis": ("standalone", False),
    "rediss": ("standalone", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
)
_OPTIONS: Final = _TLS_OPTIONS | {"sentinel_username", "sentinel_password"}
_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^:\[\]@]*))(?::(?P<port>\d{0,5}))?")
_MAX_PORT: Final = 65535
_PORT: Final = {"standalone": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed URL. Passwords stay out of its repr and of `name`."""

    layout: Layout
    addresses: tuple[Address, ...]
    name: str  # the URL without user, password and options: for messages
    tls: bool = False
    db: int = 0
    service: str = ""  # the Sentinel group's name of its primary
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls_options: tuple[tuple[str, str], ...] = ()


def parse(url: str) -> Location:
    """Read a URL; ConfigError names what is wrong without repeating a password."""
    # By hand, as far as the hosts go: newer versions of urllib refuse several hosts when one is an IPv6 address.
    scheme, rest = checked_address(url, "Redis URL", hosts=True)
    if scheme not in _SCHEMES:
        msg = f"Redis URL: its scheme is none of {', '.join(_SCHEMES)}"
        raise ConfigError(msg)
    layout, tls = _SCHEMES[scheme]
    end = min((at for mark in "/?" if (at := rest.find(mark)) >= 0), default=len(rest))
    parts = urlsplit(f"//host{rest[end:]}")
    login, _, hosts = rest[:end].rpartition("@")
    username, _, password = login.partition(":")
    addresses = tuple(_address(host, _PORT[layout]) for host in hosts.split(",") if host) or (
        ("localhost", _PORT[layout]),
    )
    path = [unquote(part) for part in parts.path.split("/") if part]
    service = ""
    if layout == "sentinel":
        if not path:
            msg = f"{scheme}://: the path must name the primary, as in redis+sentinel://host:26379/mymaster/0"
            raise ConfigError(msg)
        service = path.pop(0)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(options.keys() - _OPTIONS)
    if unknown:
        msg = f"{scheme}://: unknown {option_named(unknown[0])}; known are {', '.join(sorted(_OPTIONS))}"
        raise ConfigError(msg)
    if not tls and options.keys() & _TLS_OPTIONS:
        msg = f"{scheme}://: options ssl_* need TLS: write rediss{scheme.removeprefix('redis')}://"
        raise ConfigError(msg)
    if layout == "standalone" and len(addresses) > 1:
        msg = f"{scheme}:// takes one host; several need redis+sentinel:// or redis+cluster://"
        raise ConfigError(msg)
    db = _database(path, layout)
    shown = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses)
    name = f"{scheme}://{shown}" + (f"/{service}" if service else "") + (f"/{db}" if db else "")
    return Location(
        layout=layout,
        addresses=addresses,
        name=name,
        tls=tls,
        db=db,
        service=service,
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls_options=tuple((key, value) for key, value in options.items() if key in _TLS_OPTIONS),
    )


def _address(text: str, default_port: int) -> Address:
    match = _HOST.fullmatch(text)
    port = int(match["port"] or default_port) if match else 0
    if match is None or not 0 < port <= _MAX_PORT:
        msg = "Redis URL: a host or its port is wrong: write host:port, port 1 to 65535; in a password write : as %3A"
        raise ConfigError(msg)
    return unquote(match["v6"] or match["name"] or "localhost"), port


def _database(path: list[str], layout: Layout) -> int:
    if not path:
        return 0
    if len(path) > 1 or not path[0].isascii() or not path[0].isdigit():
        msg = "Redis URL: what follows the host must be the number of a database, as in redis://host:6379/0"
        raise ConfigError(msg)
    db = int(path[0])
    if db and layout == "cluster":
        msg = f"Redis URL: a Cluster has database 0 only, got {db}"
        raise ConfigError(msg)
    return db
