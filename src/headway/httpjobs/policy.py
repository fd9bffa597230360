"""What the operator of a worker allows HTTP jobs: addresses, hosts, rates, secrets, a proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.errors import ConfigError
from headway.httpjobs.addresses import Network, read_network

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST: Final = 10_000


class HostLimit(Struct, frozen=True):
    """What one host is spared: so many calls at once in each worker process, and a rate over all processes.

    `rate` is such as `10/1s`, counted in `app.limiter`: without the setting `cache` in each process by itself.
    """

    concurrency: int = 20
    rate: str = ""


class HttpPolicy(Struct, frozen=True, kw_only=True):
    """The rules of a worker. ConfigError names what cannot be.

    `allow`: CIDRs, addresses and host names that may be reached although they are private; `*.example.internal` is all
    hosts below. `limit` is that of each host, `limits` those of single hosts. `secrets_folder` holds a file for each
    secret, beside the variables HEADWAY_SECRET_NAME. `secret_hosts`: to which hosts a secret may be sent; one that is
    not named goes to any. `proxy`: an http:// URL through which all calls go; it looks the names up itself, so it must
    refuse private addresses too. `ca_file`: certificates to trust beside the usual. `retry_after`: the longest wait
    that a target may ask for, in seconds.
    """

    allow: tuple[str, ...] = ()
    limit: HostLimit = HostLimit()
    limits: Mapping[str, HostLimit] = {}
    secrets_folder: str = ""
    secret_hosts: Mapping[str, tuple[str, ...]] = {}
    proxy: str = ""
    ca_file: str = ""
    retry_after: float = 24 * 3600.0
    user_agent: str = "headway"

    def __post_init__(self) -> None:
        """Check what is written."""
        networks, _ = parted(self.allow)
        del networks
        for host, limit in {"limit": self.limit, **self.limits}.items():
            if not 1 <= limit.concurrency <= _MOST:
                msg = f"http policy: {host}: concurrency must be 1 to {_MOST}, got {limit.concurrency}"
                raise ConfigError(msg)
        if self.proxy and not self.proxy.startswith("http://"):
            msg = "http policy: proxy must be an http:// URL"
            raise ConfigError(msg)

    def limit_of(self, host: str) -> HostLimit:
        """Return the limit of a host."""
        return self.limits.get(host, self.limit)


def parted(allow: Iterable[Any]) -> tuple[tuple[Network, ...], tuple[str, ...]]:
    """Part networks from host names; ConfigError names an entry that is neither."""
    networks: list[Network] = []
    hosts: list[str] = []
    for entry in allow:
        if not isinstance(entry, str) or not entry:
            msg = f"http policy: allow: {entry!r} is no text"
            raise ConfigError(msg)
        if any(character.isalpha() for character in entry) and ":" not in entry:
            hosts.append(entry.lower().removesuffix("."))
            continue
        try:
            networks.append(read_network(entry))
        except ValueError as error:
            msg = f"http policy: allow: {entry!r} is neither a network, such as 10.1.0.0/16, nor a host name: {error}"
            raise ConfigError(msg) from error
    return tuple(networks), tuple(hosts)


def is_named(host: str, names: Iterable[str]) -> bool:
    """Tell whether a host is one of these, or below one that begins with `*.`."""
    return any(
        host == name or (name.startswith("*.") and host.endswith(name[1:]) and len(host) > len(name) - 1)
        for name in names
    )
