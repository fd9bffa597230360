"""The target of a call: a URL read once, strictly, into the parts that are resolved, connected to and sent.

Checkers and clients that read a URL each in their own way are how private addresses are reached. Here nothing reads it
a second time, and what two parsers might read differently is refused: user names, backslashes, numbers in place of
names, escapes and letters beyond ASCII in the host.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal, cast
from urllib.parse import urljoin

from msgspec import Struct

MAX_URL: Final = 8192
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*|)(?P<query>\?[^#]*|)(?:#.*)?", re.IGNORECASE
)
_ABSOLUTE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")  # what `inet_aton` takes for a part of an address
_LONGEST_NAME: Final = 253
_PRINTABLE: Final = range(0x21, 0x7F)
_LAST_PORT: Final = 65535
_PORTS: Final = {"http": 80, "https": 443}
_SHOWN: Final = 200


class Target(Struct, frozen=True):
    """Where a request goes. `host` is in lower case, without brackets and final dot; `path` includes the query."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The host as a Host header has it: with the port, unless it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL that the parts make."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What secrets are meant for."""
        return self.scheme, self.host, self.port


def read_target(url: str) -> Target:
    """Read a URL; ValueError says what is wrong with it."""
    if not 0 < len(url) <= MAX_URL:
        msg = f"url must have 1 to {MAX_URL} characters, got {len(url)}"
        raise ValueError(msg)
    if odd := next((character for character in url if ord(character) not in _PRINTABLE), None):
        msg = (
            f"url: character {odd!a} is not allowed: write international names as xn--..., and others as %XX"
        )
        raise ValueError(msg)
    if "\\" in url:
        msg = "url: a backslash is not allowed"
        raise ValueError(msg)
    if "secret://" in url:
        msg = "url: a secret belongs in a header: a URL is stored and shown"
        raise ValueError(msg)
    match = _URL.fullmatch(url)
    if match is None:
        msg = f"url must begin with http:// or https://, got {url[:_SHOWN]!r}"
        raise ValueError(msg)
    authority = match["authority"]
    if "@" in authority:
        msg = "url: no user name or password; put them into a header, by a reference to a secret"
        raise ValueError(msg)
    parts = _HOST_AND_PORT.fullmatch(authority)
    if parts is None:
        msg = f"url: {authority[:_SHOWN]!r} is no host with or without a port"
        raise ValueError(msg)
    scheme = cast("Literal['http', 'https']", match["scheme"].lower())
    port = _PORTS[scheme] if parts["port"] is None else int(parts["port"])
    if not 0 < port <= _LAST_PORT:
        msg = f"url: port {port} must be 1 to {_LAST_PORT}"
        raise ValueError(msg)
    return Target(scheme, _host(parts["host"]), port, (match["path"] or "/") + match["query"])


def follow(target: Target, location: str) -> Target:
    """Read where a redirect leads; ValueError says why it leads nowhere."""
    if location.startswith("//"):
        return read_target(f"{target.scheme}:{location}")
    if _ABSOLUTE.match(location):
        return read_target(location)
    if "\\" in location:
        msg = "url: a backslash is not allowed"
        raise ValueError(msg)
    moved = read_target(urljoin(target.url, location))  # a path alone
    if moved.origin != target.origin:
        msg = f"{location[:_SHOWN]!a} leads somewhere else than it seems to"
        raise ValueError(msg)
    return moved


def _host(text: str) -> str:
    if text.startswith("["):
        return str(IPv6Address(text[1:-1]))
    host = text.lower().removesuffix(".")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # Resolvers read 127.1, 0x7f000001, 017700000001 and 2130706433 as addresses: one form is enough.
        try:
            return str(IPv4Address(host))
        except ValueError as error:
            msg = f"url: {text!r} is no address: write four decimal numbers without leading zeros"
            raise ValueError(msg) from error
    if len(host) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        msg = f"url: {text[:_SHOWN]!r} is no host name"
        raise ValueError(msg)
    return host
