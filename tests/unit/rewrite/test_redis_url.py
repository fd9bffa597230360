from __future__ import annotations

import ast

import pytest

from headway.brokers.redis.location import parse
from headway.migrate.rewrite.redis_url import NoUrlError, of_call


def _url(written: str) -> str:
    node = ast.parse(written, mode="eval").body
    assert isinstance(node, ast.Call)
    return of_call(node, lambda one: ast.get_source_segment(written, one) or "").text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("RedisSettings()", '"redis://localhost:6379/0"'),
        ("RedisSettings('redis', 6380)", '"redis://redis:6380/0"'),
        ("RedisSettings(host='r', database=3, ssl=True)", '"rediss://r:6379/3"'),
        ("RedisSettings(username='me', password='a:b@c/')", '"redis://me:a%3Ab%40c%2F@localhost:6379/0"'),
        ("RedisSettings.from_dsn(settings.URL)", "settings.URL"),
        ("RedisSettings.from_dsn(dsn='redis://x')", "'redis://x'"),
        ("RedisSettings(host=cfg.host, port=cfg.port)", 'f"redis://{cfg.host}:{cfg.port}/0"'),
        ("RedisSettings(ssl=cfg.tls)", """f"redis{'s' if cfg.tls else ''}://localhost:6379/0\""""),
        ('RedisSettings(host=env["HOST"])', '"redis://{}:6379/0".format(env["HOST"])'),
        ("RedisSettings(password=cfg.pw)", "f\"redis://:{quote(cfg.pw or '', safe='')}@localhost:6379/0\""),
        (
            "RedisSettings(host=[('a', 1), ('b', 2)], sentinel=True, password=None)",
            '"redis+sentinel://a:1,b:2/mymaster/0"',
        ),
    ],
)
def test_urls(settings: str, expected: str) -> None:
    assert _url(settings) == expected
    if expected.startswith('"') and expected.endswith('"'):
        parse(ast.literal_eval(expected))


def test_a_url_without_a_password_is_one_that_our_driver_reads() -> None:
    assert parse("redis://:@localhost:6379/0").password is None


@pytest.mark.parametrize(
    "settings",
    [
        "RedisSettings(unix_socket_path='/run/redis.sock')",
        "RedisSettings(host=hosts, sentinel=True)",
        "RedisSettings(**given)",
        "RedisSettings(host=['a', 'b'])",
        "RedisSettings.from_dsn()",
    ],
)
def test_what_has_no_url(settings: str) -> None:
    with pytest.raises(NoUrlError):
        _url(settings)
