"""HTTP jobs reach nothing that they should not: by no spelling, no name, no redirect, no change of an answer."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import TYPE_CHECKING

import httpcore
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.errors import ConfigError
from headway.httpjobs import HttpCall, HttpPolicy, HttpRefusedError, HttpUnavailableError
from headway.httpjobs.addresses import embedded, refusal
from headway.httpjobs.connecting import GuardedNetwork
from headway.httpjobs.guard import Guard
from headway.httpjobs.policy import is_named
from headway.httpjobs.sending import Sender
from headway.httpjobs.target import read_target

if TYPE_CHECKING:
    from collections.abc import Sequence

PUBLIC = "93.184.216.34"

# Refused as they are written.
SPELLINGS = [
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.000.000.001/",
    "http://0/",
    "http://0x/",
    "http://1.1/",
    "http://256.256.256.256/",
    "http://1.2.3.4.5/",
    "http://foo.0x7f000001/",
    "http://example.com.2130706433/",
    "http://127.0.0.1%2f@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://user:secret@example.com/",
    "http://example.com:80@127.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http:\\\\127.0.0.1/",
    "http://127.0.0.1\\.example.com/",
    "http://example.com#@127.0.0.1/ ",
    "http://exa mple.com/",
    "http://example.com\t/",
    "http://example.com\r\nHost: 127.0.0.1/",
    "http://example.com/\r\nX-Injected: 1",
    "http://example.com/\x00",
    "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/",
    "http://\uff11\uff12\uff17.0.0.1/",
    "http://127\u30020\u30020\u30021/",
    "http://\u0661\u0662\u0667.0.0.1/",
    "http://m\u00fcnchen.example/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1%00.example.com/",
    "http://[fe80::1%25eth0]/",
    "http://[::1%eth0]/",
    "http://[::ffff:127.0.0.1/",
    "http://::1/",
    "http://[v1.a]/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:080x/",
    "http://example.com:-1/",
    "http:///path",
    "http://",
    "http:/127.0.0.1/",
    "//127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:11211/",
    "javascript:alert(1)",
    "unix:///var/run/docker.sock",
    "http://-example.com/",
    "http://exa..mple.com/",
    "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 130 + "com/",
    "https://example.com/" + "a" * 9000,
    "",
]

# Addresses, refused as addresses and as what a name resolves to.
ADDRESSES = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104 - refused
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "169.254.169.254",
    "169.254.170.2",
    "168.63.129.16",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:93.184.216.34",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::5db8:d822",
    "64:ff9b:1::10.0.0.1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:0:5db8:d822::1",
    "2001:db8::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:127.0.0.1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "100::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
]

NAMES = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "metadata.google.internal",
    "127.0.0.1.nip.io",
    "redis",
    "xn--fsq.com",
]


class Net:
    """Every connection that would be made, by address; none is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> None:
        """`answers` are what the resolver says, one after the other, and the last for ever."""
        self.reached: list[str] = []
        self._answers = list(answers)
        monkeypatch.setattr(GuardedNetwork, "_to", self._to)

    async def resolve(self, host: str, port: int) -> list[str]:
        del host, port
        return list(self._answers[0] if len(self._answers) == 1 else self._answers.pop(0))

    async def _to(self, address: str, *_: object) -> None:
        self.reached.append(address)
        msg = "not in a test"
        raise httpcore.ConnectError(msg)

    async def call(self, url: str, policy: HttpPolicy | None = None) -> None:
        rules = policy or HttpPolicy()
        sender = Sender(rules, Guard(rules, self.resolve))
        await sender.send(HttpCall(method="GET", url=url), {}, {})


def test_there_are_enough_of_them() -> None:
    assert len(SPELLINGS) + len(ADDRESSES) + len(NAMES) > 100


@pytest.mark.parametrize("url", SPELLINGS)
def test_what_two_readers_could_read_differently_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        HttpCall(method="GET", url=url)


@pytest.mark.parametrize("address", ADDRESSES)
async def test_no_address_that_is_not_public_is_reached(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Neither as it is written, nor as what a name resolves to, alone or among others."""
    literal = f"[{address}]" if ":" in address else address
    for host, answer in (
        (literal, [address]),
        ("example.com", [address]),
        ("example.com", [address, PUBLIC]),
        ("example.com", [PUBLIC, "2606:4700::1", address]),
    ):
        net = Net(monkeypatch, answer)
        with pytest.raises(HttpRefusedError, match="may not be reached"):
            await net.call(f"http://{host}:8080/")
        assert net.reached == []


@pytest.mark.parametrize("name", NAMES)
async def test_no_name_of_this_machine_or_network_is_reached(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    net = Net(monkeypatch, ["127.0.0.1"])
    with pytest.raises(HttpRefusedError, match="loopback"):
        await net.call(f"https://{name}/")
    assert net.reached == []


async def test_a_name_that_changes_its_address_is_connected_to_where_it_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: each answer is judged, and what was judged is what is connected to."""
    net = Net(monkeypatch, [PUBLIC], ["127.0.0.1"])
    with pytest.raises(HttpUnavailableError):
        await net.call("http://rebind.example/")
    assert net.reached == [PUBLIC]
    with pytest.raises(HttpRefusedError):
        await net.call("http://rebind.example/")
    assert net.reached == [PUBLIC]


async def test_zones_and_nonsense_of_a_resolver_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("fe80::1%eth0", "nonsense", "1.2.3.4%5"):
        net = Net(monkeypatch, [text])
        with pytest.raises(HttpRefusedError):
            await net.call("http://example.com/")
        assert net.reached == []
    with pytest.raises(HttpUnavailableError, match="has no address"):
        await Net(monkeypatch, []).call("http://example.com/")


async def test_public_addresses_are_reached_each_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(monkeypatch, [PUBLIC, "2606:4700::1111", "1.1.1.1"])
    with pytest.raises(HttpUnavailableError):
        await net.call("https://example.com/")
    assert net.reached == [PUBLIC, "2606:4700::1111", "1.1.1.1"]


@pytest.mark.parametrize(
    ("allow", "host", "address", "reached"),
    [
        ("10.1.0.0/16", "hooks.internal", "10.1.2.3", True),
        ("10.1.0.0/16", "hooks.internal", "10.2.2.3", False),
        ("127.0.0.1", "localhost", "127.0.0.1", True),
        ("hooks.internal", "hooks.internal", "10.9.9.9", True),
        ("HOOKS.internal.", "hooks.internal", "10.9.9.9", True),
        ("hooks.internal", "evil-hooks.internal", "10.9.9.9", False),
        ("*.internal", "a.b.internal", "10.9.9.9", True),
        ("*.internal", "internal", "10.9.9.9", False),
        ("*.internal", "notinternal", "10.9.9.9", False),
        ("fd00::/8", "six.internal", "fd00::1", True),
        ("64:ff9b::/96", "nat64.example", "64:ff9b::5db8:d822", True),
        ("64:ff9b::/96", "nat64.example", "64:ff9b::a9fe:a9fe", False),
        ("::ffff:0:0/96", "mapped.example", "::ffff:127.0.0.1", False),
    ],
)
async def test_the_operator_allows_networks_and_hosts(
    monkeypatch: pytest.MonkeyPatch, allow: str, host: str, address: str, *, reached: bool
) -> None:
    net = Net(monkeypatch, [address])
    with pytest.raises(HttpUnavailableError if reached else HttpRefusedError):
        await net.call(f"http://{host}/", HttpPolicy(allow=(allow,)))
    assert net.reached == ([address] if reached else [])


@pytest.mark.parametrize("entry", ["10.1.0.1/16", "10.1.0.0/33", "999", "fd00::/200", "", 7])
def test_what_allows_nothing_that_can_be_meant_is_refused(entry: object) -> None:
    with pytest.raises(ConfigError, match="allow"):
        HttpPolicy(allow=(entry,))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@settings(deadline=None)
@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_whatever_python_does_not_take_for_global_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert refusal(address)
    elif isinstance(address, ipaddress.IPv4Address) and not refusal(address):
        for bits, base in ((96, "64:ff9b::"), (96, "::ffff:0:0")):
            del bits
            carried = ipaddress.IPv6Address(int(ipaddress.IPv6Address(base)) + int(address))
            assert embedded(carried) == address
            assert refusal(carried)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_a_host_that_is_read_is_read_the_same_again(text: str) -> None:
    """What is shown, compared and connected to is one and the same."""
    with suppress(ValueError):
        target = read_target(f"http://{text}/")
        assert read_target(target.url) == target
        assert "@" not in target.authority
        assert "\\" not in target.url


def test_what_is_below_a_name() -> None:
    assert is_named("a.example.com", ["*.example.com"])
    assert not is_named("example.com", ["*.example.com"])
    assert not is_named(".example.com", ["*.example.com"])
