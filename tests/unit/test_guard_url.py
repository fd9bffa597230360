"""URLs of guard stores and of the cache: what is wrong is said, secrets are not."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from headway.cache import url as cache_url
from headway.errors import ConfigError
from headway.guards.stores.http_redis import HttpRedisStore
from headway.guards.stores.postgres import PostgresStore
from headway.guards.stores.postgres import location as postgres
from headway.guards.stores.redis import RedisStore
from headway.guards.stores.sqlite import SqliteStore
from headway.guards.stores.sqlite import file as sqlite
from headway.guards.url import from_url
from headway.storage.redis import http

if TYPE_CHECKING:
    from headway.guards.base import GuardStore


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///guard.db", SqliteStore),
        ("redis://:s3cret@host:6380/2", RedisStore),
        ("rediss://host", RedisStore),
        ("https://:s3cret@host", HttpRedisStore),
        ("https://host?token=s3cret", HttpRedisStore),
        ("upstash://s3cret@host", HttpRedisStore),
        ("http://:s3cret@localhost:8079", HttpRedisStore),
        ("postgresql://user:s3cret@host/db", PostgresStore),
        ("postgres://user:s3cret@host/db?sslmode=require&schema=jobs&connections=2", PostgresStore),
    ],
)
def test_each_scheme_has_its_store(url: str, kind: type[GuardStore]) -> None:
    store = from_url(url, namespace="shop")
    assert type(store) is kind
    assert store.commands == 0


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "known are sqlite"),
        ("mysql://user:s3cret@host", "known are sqlite"),
        ("s3cret", "known are sqlite"),
        ("sqlite://guard.db", "sqlite:///relative.db"),
        ("sqlite:///", "sqlite:///relative.db"),
        ("sqlite:///:memory:", "lost with its process"),
        ("sqlite:///a.db?timeout=0", "timeout=0"),
        ("sqlite:///a.db?synchronous=off", "synchronous=off"),
        ("sqlite:///a.db?cache=1", "cache=1"),
        ("redis+sentinel://:s3cret@host/mymaster", "served as a carrier only"),
        ("rediss+cluster://:s3cret@host", "give rediss://"),
        ("redis://:s3cret@host?socket_timeout=x", "socket_timeout"),
        ("http://:s3cret@host", "plain text"),
        ("https://host", "needs its token"),
        ("https://:s3cret@host?tls=1", "unknown option 'tls'"),
        ("https://:s3cret@", "no host"),
        ("https://:s3cret@host:port", "port"),
        ("https://:s3cr\u00e9t@host", "needs its token"),
        ("postgresql://user:s3cret@host/db?schema=a%22b", "schema must be"),
        ("postgresql://user:s3cret@host/db?connections=0", "connections must be"),
        ("postgresql://user:s3cret@host/db?nonsense=1", "libpq cannot read it"),
        ("postgresql://host/db?nonsense=1", "nonsense"),
    ],
)
def test_what_is_wrong_is_said_and_secrets_are_not(url: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_url(url, namespace="shop")
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "package", "extra"),
    [
        ("redis", "redis", "redis"),
        ("https", "upstash_redis", "upstash"),
        ("postgresql", "psycopg", "postgres"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    scheme: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"{package}.*headway\[{extra}\]"):
        from_url(f"{scheme}://:token@host", namespace="shop")


def test_sqlite_paths_are_relative_or_absolute() -> None:
    assert sqlite.parse("sqlite:///a%20b.db").path == "a b.db"
    assert sqlite.parse("sqlite:////srv/x.db?timeout=2.5&synchronous=full") == sqlite.Location(
        "/srv/x.db", 2.5, "FULL"
    )


def test_an_address_by_http_keeps_its_path() -> None:
    assert http.parse("https://:t%2Fk@host:8443/redis/") == ("https://host:8443/redis", "t/k")
    assert http.parse("http://:t@[::1]:80") == ("http://[::1]:80", "t")


def test_a_password_is_in_no_repr() -> None:
    place = postgres.parse("postgresql://user:s3cret@host:5433/db?schema=jobs")
    assert "s3cret" not in repr(place)
    assert place.name == "postgresql://host:5433/db"
    assert place.schema == "jobs"


@pytest.mark.parametrize("url", ["", "sqlite:///a.db", "s3cret"])
def test_a_cache_needs_a_redis(url: str) -> None:
    with pytest.raises(ConfigError, match="redis://") as caught:
        cache_url.from_url(url, namespace="shop")
    assert "s3cret" not in str(caught.value)
