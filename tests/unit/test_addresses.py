"""A secret in an address is in no message, repr or traceback, wherever it stands and however the address is broken."""

from __future__ import annotations

import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway import Headway
from headway.addresses import checked_address
from headway.app.opening import broker_settings
from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url
from headway.cache.url import from_url as cache_from_url
from headway.errors import HeadwayError
from headway.guards.url import from_url as guard_from_url
from headway.offload.blobs import open_store
from headway.text import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.config import Settings

SCHEMES: Final = [
    "redis", "rediss", "redis+sentinel", "redis+cluster", "postgresql", "https", "http", "upstash", "s3", "gs", "amqp",
    "memory",
]  # fmt: skip
ONE_WORD: Final = "{scheme}://{secret}@host"
PLACES: Final = [
    "{scheme}://user:{secret}@host:1/0",
    "{scheme}://:{secret}@host",
    ONE_WORD,
    "{scheme}:/:{secret}@host",
    "{scheme}::{secret}@host",
    "{scheme}:{secret}@host",
    ":{secret}@host:1",
    "{scheme}//user:{secret}@host",
    "{scheme}://user:{secret}@host:99999999/0",
    "{scheme}://user:{secret}@host:port/0",
    "{scheme}://user:{secret}@[host/0",
    "{scheme}://user:{secret}@/x/y",
    "{scheme}://user:{secret}@host/a@b",
    "{scheme}://user:{secret}@host?x=1",
    "{scheme}://host?token={secret}",
    "{scheme}://host/0?password={secret}&x=1",
    "{scheme}://host/x?sig={secret}",
    "{scheme}://host/x?se=1&X-Amz-Signature={secret}",
    "{scheme}://host/x?X-Goog-Signature={secret}#y",
    "{scheme}://host/x#access_token={secret}",
    "{scheme}://host?sentinel_password={secret}&unknown=1",
]
HEAD, TAIL = "Qx7hush", "Zw9mum"  # of each secret, so that a half that is shown is seen
SECRETS: Final = st.text(
    st.sampled_from("abcXYZ019/?#@:%&=+.,;[] _-!~"), max_size=12
).map(lambda middle: f"{HEAD}{middle}{TAIL}")  # fmt: skip


def opened(make: Callable[[], object]) -> str:
    """Return all that people may see of what was made, or of the error."""
    try:
        made = make()
    except HeadwayError as error:
        return "".join([str(error), repr(error), *traceback.format_exception(error)])
    return f"{made!r}{made}"


def _settings(**fields: Any) -> Settings:
    return Headway("app", **fields).settings


@given(scheme=st.sampled_from(SCHEMES), place=st.sampled_from(PLACES), secret=SECRETS)
@settings(max_examples=600, deadline=None)
def test_a_secret_is_shown_by_nothing(scheme: str, place: str, secret: str) -> None:
    if place == ONE_WORD:
        secret = secret.replace(":", "")  # else its first part is a user's name, which is shown
    url = place.format(scheme=scheme, secret=secret)
    texts = {
        "carrier": opened(lambda: from_url(url, BrokerSettings("app"))),
        "cache": opened(lambda: cache_from_url(url, namespace="app")),
        "guard": opened(lambda: guard_from_url(url, namespace="app")),
        "redacted": redact(url),
    }
    if "://" in url:  # else it names a folder
        texts["blobs"] = opened(lambda: open_store(url))
    for name in ("url", "guard", "cache", "offload", "push_target"):
        texts[f"setting {name}"] = opened(partial(_settings, **{name: url}))
    texts["settings"] = opened(lambda: broker_settings("app", _settings(url=url, guard=url)))
    assert {where: text for where, text in texts.items() if HEAD in text or TAIL in text} == {}


@pytest.mark.parametrize(
    "url",
    [
        "redis:/:pw@h",
        "redis://:pw/x@h",
        "redis://:pw?x@h",
        "redis://:pw#x@h",
        "redis://user:12#x@h",
        "https://h/#x",
        "https://h:x/",
        "https://h:0/",
    ],
)
def test_an_address_that_may_hide_a_password_is_refused(url: str) -> None:
    with pytest.raises(HeadwayError, match=r"Cache: .*(@|#|://|port)"):
        checked_address(url, "Cache")


@pytest.mark.parametrize("url", ["redis://h", "REDIS://u:p@[::1]:6379/0?x=1", "https://:t@h/path?x=a,b"])
def test_a_sound_address_passes(url: str) -> None:
    assert checked_address(url, "Cache") == (url.partition("://")[0].lower(), url.partition("://")[2])


@pytest.mark.parametrize("url", ["redis://a:1,b:2", "redis+sentinel://:p@[::1]:1,b/primary"])
def test_there_may_be_several_hosts(url: str) -> None:
    checked_address(url, "Redis", hosts=True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/lib/@shop/x.db", "sqlite:////var/lib/@shop/x.db"),
        ("redis://user:pw@host:1/0", "redis://user:***@host:1/0"),
        ("https://host/x?timeout=5&schema=public", "https://host/x?timeout=5&schema=public"),
        ("https://host/x?AWSAccessKeyId=1", "https://host/x?AWSAccessKeyId=***"),
        ("redis:/:pw@h", "redis:***"),
        ("C:/data/x.db", "C:/data/x.db"),
        ("./folder", "./folder"),
    ],
)
def test_what_is_shown_of_an_address(url: str, shown: str) -> None:
    assert redact(url) == shown
