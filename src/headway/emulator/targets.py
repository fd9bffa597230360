"""Which targets are given tokens and signatures: declared ones, never any URL that a task names. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PORTS: Final = {"http": 80, "https": 443}


class _Address(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str


class Targets:
    """Declared targets: each holds for its scheme, host and port, and for what lies below its path.

    Where none is declared, whatever listens on a loopback address is one.
    """

    def __init__(self, urls: Iterable[str] = ()) -> None:
        """ConfigError names a URL that is none."""
        self._addresses = [_declared(url) for url in urls]

    def hold(self, url: str) -> bool:
        """Tell whether a request to this URL may carry a token and a signature."""
        address = _address(url)
        if address is None:
            return False
        if not self._addresses:
            return is_loopback(address.host)
        return any(_covers(declared, address) for declared in self._addresses)


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address, in lower case, is that of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _declared(url: str) -> _Address:
    address = _address(url)
    if address is None:
        msg = f"target {url!r}: write the URL of a receiver, such as http://127.0.0.1:8080/"
        raise ConfigError(msg)
    return address


def _address(url: str) -> _Address | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host:
        return None
    return _Address(parts.scheme, host, port or _PORTS[parts.scheme], parts.path or "/")


def _covers(declared: _Address, address: _Address) -> bool:
    if declared[:3] != address[:3]:
        return False
    folder = declared.path.rstrip("/")
    if not folder:
        return True
    return (address.path == folder or address.path.startswith(f"{folder}/")) and ".." not in unquote(
        address.path
    ).replace("\\", "/").split("/")
