"""Which addresses a call may reach: those of the public internet, and what the operator allows.

The lists are IANA's special-purpose registries and the addresses of cloud platforms, written out: what Python counts as
global differs from version to version. An IPv6 address that carries an IPv4 address reaches that one through some
gateway, so both are judged.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Address: TypeAlias = "IPv4Address | IPv6Address"
Network: TypeAlias = "IPv4Network | IPv6Network"

_V4: Final = {
    IPv4Network(net): what
    for net, what in {
        "0.0.0.0/8": "this network",
        "10.0.0.0/8": "private",
        "100.64.0.0/10": "shared by a carrier's customers",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local: metadata of clouds",
        "172.16.0.0/12": "private",
        "192.0.0.0/24": "for protocols: metadata of clouds",
        "192.0.2.0/24": "documentation",
        "192.31.196.0/24": "AS112",
        "192.52.193.0/24": "AMT",
        "192.88.99.0/24": "6to4 relays",
        "192.168.0.0/16": "private",
        "192.175.48.0/24": "AS112",
        "198.18.0.0/15": "benchmarks",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "168.63.129.16/32": "the host of Azure's machines",
        "224.0.0.0/4": "multicast",
        "240.0.0.0/4": "reserved or broadcast",
    }.items()
}
_V6: Final = {
    IPv6Network(net): what
    for net, what in {
        "::/128": "unspecified",
        "::1/128": "loopback",
        "::/96": "IPv4-compatible",
        "::ffff:0:0/96": "IPv4-mapped",
        "::ffff:0:0:0/96": "IPv4-translated",
        "64:ff9b::/96": "NAT64",
        "64:ff9b:1::/48": "local NAT64",
        "100::/64": "discarded",
        "100:0:0:1::/64": "dummy",
        "2001::/23": "for protocols: Teredo and others",
        "2001:db8::/32": "documentation",
        "2002::/16": "6to4",
        "2620:4f:8000::/48": "AS112",
        "3fff::/20": "documentation",
        "5f00::/16": "segment routing",
        "fc00::/7": "private",
        "fe80::/10": "link-local",
        "fec0::/10": "site-local",
        "ff00::/8": "multicast",
    }.items()
}
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_LOW_32: Final = 0xFFFFFFFF
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})  # bits 32 to 63 of the address, before an IPv4 address
_AT_THE_END: Final = tuple(
    IPv6Network(net)
    for net in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_TEREDO: Final = IPv6Network("2001::/32")


def refusal(address: Address, allowed: Sequence[Network] = ()) -> str:
    """Say why an address may not be reached; empty: it may.

    One in an `allowed` network may, but for an IPv4 address in it, which is judged by itself.
    """
    if not _within(address, allowed):
        if what := _special(address):
            return what
        if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
            return "not of the public internet"
    inner = embedded(address)
    if inner is not None and not _within(inner, allowed) and (what := _special(inner)):
        return f"it holds {inner}: {what}"
    return ""


def embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to; of Teredo the client's."""
    if isinstance(address, IPv4Address):
        return None
    bits = int(address)
    if any(address in net for net in _AT_THE_END) or bits >> 32 & _LOW_32 in _ISATAP:
        return IPv4Address(bits & _LOW_32)
    if address in _SIX_TO_FOUR:
        return IPv4Address(bits >> 80 & _LOW_32)
    if address in _TEREDO:
        return IPv4Address(bits & _LOW_32 ^ _LOW_32)
    return None


def read_network(text: str) -> Network:
    """Read a CIDR or a single address; ValueError."""
    return ip_network(text.strip("[]"), strict=True)


def _special(address: Address) -> str:
    lists = _V4 if isinstance(address, IPv4Address) else _V6
    return next((what for net, what in lists.items() if address in net), "")


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in net for net in networks)
