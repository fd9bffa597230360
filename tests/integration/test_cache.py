"""The cache and the limiter do the same by TCP and by HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway import Headway
from headway.cache import Allowed, Denied
from headway.cache.rate import parse_rate
from headway.cache.url import OpenCache, from_url
from headway.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    ConfigError,
    HeadwayError,
    SerialisationError,
)
from headway.testing import FakeClock
from tests.servers import RedisServer, RestProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class User(msgspec.Struct):
    name: str
    born: datetime


REMOTE = ("redis_server", "rest_proxy")


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    if kind == "memory":
        return "memory://"
    server: RedisServer | RestProxy = request.getfixturevalue(kind)
    return server.url


@pytest.fixture(params=REMOTE)
def url(request: pytest.FixtureRequest) -> str:
    return url_of(request.param, request)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def remote(url: str, namespace: str, clock: FakeClock) -> AsyncIterator[OpenCache]:
    """One in a Redis."""
    place = from_url(url, namespace=namespace, clock=clock)
    yield place
    await place.close()


@pytest.fixture(params=[*REMOTE, "memory"])
async def opened(
    request: pytest.FixtureRequest, namespace: str, clock: FakeClock
) -> AsyncIterator[OpenCache]:
    """One of any kind."""
    place = from_url(url_of(request.param, request), namespace=namespace, clock=clock)
    yield place
    await place.close()


class TestCache:
    async def test_values_come_back_as_they_were(self, opened: OpenCache) -> None:
        user = User("Ada", datetime(1815, 12, 10, tzinfo=UTC))
        values = [b"\x00\xff", "text ü", 17, 1.5, None, True, [1, {"a": b"b"}], {"k": [None]}]
        for number, value in enumerate(values):
            assert await opened.cache.set(f"k{number}", value, ttl=60)
        assert [await opened.cache.get(f"k{number}") for number in range(len(values))] == values
        assert await opened.cache.get_many([f"k{number}" for number in range(len(values))]) == values
        await opened.cache.set("user", user, ttl=timedelta(hours=1))
        assert await opened.cache.get("user", User) == user
        assert await opened.cache.get_many(["user", "nobody"], User) == [user, None]

    async def test_what_does_not_fit_the_type_is_as_if_it_were_not_there(self, opened: OpenCache) -> None:
        await opened.cache.set("user", {"title": "of an older version"}, ttl=60)
        assert await opened.cache.get("user", User) is None

    async def test_what_another_wrote_is_as_if_it_were_not_there(
        self, remote: OpenCache, redis_server: RedisServer, namespace: str
    ) -> None:
        redis_server.call("SET", f"hw:{{{namespace}}}:cache:user", "rubbish")
        assert await remote.cache.get("user") is None

    async def test_a_value_ends_with_its_time(self) -> None:
        clock = FakeClock()
        place = from_url("memory://", namespace="shop", clock=clock)
        await place.cache.set("k", 1, ttl=1)
        clock.advance(999)
        assert await place.cache.get("k") == 1
        clock.advance(1)
        assert await place.cache.get("k") is None
        assert await place.cache.delete("k") == 0

    async def test_values_end(self, remote: OpenCache, redis_server: RedisServer, namespace: str) -> None:
        await remote.cache.set("k", 1, ttl=1000)
        left = redis_server.call("PTTL", f"hw:{{{namespace}}}:cache:k")
        assert isinstance(left, int)
        assert 900_000 < left <= 1_000_000
        with pytest.raises(ConfigError, match="ttl must be at least"):
            await remote.cache.set("k", 1, ttl=0)

    async def test_only_new_replaces_nothing(self, opened: OpenCache) -> None:
        assert await opened.cache.set("k", 1, ttl=60, only_new=True)
        assert not await opened.cache.set("k", 2, ttl=60, only_new=True)
        assert await opened.cache.get("k", int) == 1

    async def test_delete_says_how_many_there_were(self, opened: OpenCache) -> None:
        await opened.cache.set("a", 1, ttl=60)
        await opened.cache.set("b", 1, ttl=60)
        assert await opened.cache.delete("a", "b", "c") == 2
        assert await opened.cache.delete() == 0
        assert await opened.cache.get_many([]) == []

    async def test_what_cannot_be_written_is_named(self, opened: OpenCache) -> None:
        with pytest.raises(SerialisationError, match="'k'"):
            await opened.cache.set("k", object(), ttl=60)

    async def test_each_call_is_one_command(self, remote: OpenCache) -> None:
        await remote.cache.get("warm")
        await remote.limiter.limit("warm", "1/s")
        before = remote.cache.commands
        await remote.cache.set("k", 1, ttl=60)
        await remote.cache.get("k")
        await remote.cache.get_many(["k", "l", "m"])
        await remote.cache.delete("k", "l")
        await remote.limiter.limit("k", "1/s")
        assert remote.cache.commands - before == 5


class TestLimiter:
    async def test_a_burst_and_then_evenly_spaced(self, opened: OpenCache, clock: FakeClock) -> None:
        async def ask() -> Allowed | Denied:
            return await opened.limiter.limit("k", "10/5s")

        assert [await ask() for _ in range(10)] == [Allowed(left) for left in range(9, -1, -1)]
        assert await ask() == Denied(0.5)
        clock.advance(400)
        denied = await ask()
        assert isinstance(denied, Denied)
        assert denied.retry_after == pytest.approx(0.1)
        clock.advance(100)
        assert await ask() == Allowed(0)
        assert await ask() == Denied(0.5)
        clock.advance(100_000)
        assert await ask() == Allowed(9)

    async def test_costs_are_taken_whole_or_not_at_all(self, opened: OpenCache) -> None:
        assert await opened.limiter.limit("k", "10/10s", cost=8) == Allowed(2)
        assert await opened.limiter.limit("k", "10/10s", cost=5) == Denied(3.0)
        assert await opened.limiter.limit("k", "10/10s", cost=2) == Allowed(0)
        for cost in (0, 11, cast("int", 2.5)):
            with pytest.raises(ConfigError, match="cost must be 1 to 10"):
                await opened.limiter.limit("k", "10/10s", cost=cost)

    async def test_keys_have_rates_of_their_own_and_can_be_reset(self, opened: OpenCache) -> None:
        assert await opened.limiter.limit("a", "1/1m") == Allowed(0)
        assert await opened.limiter.limit("b", "1/1m") == Allowed(0)
        assert await opened.limiter.limit("a", "1/1m") == Denied(60.0)
        await opened.limiter.reset("a")
        assert await opened.limiter.limit("a", "1/1m") == Allowed(0)

    async def test_the_servers_clock_counts_and_all_processes_share_it(
        self, url: str, namespace: str
    ) -> None:
        places = [from_url(url, namespace=namespace) for _ in range(3)]
        answers = await asyncio.gather(
            *(places[number % 3].limiter.limit("k", "7/1h") for number in range(30))
        )
        assert sum(isinstance(answer, Allowed) for answer in answers) == 7
        assert all(510 < answer.retry_after < 3600 for answer in answers if isinstance(answer, Denied))
        for place in places:
            await place.close()

    async def test_what_is_asked_together_goes_in_one_command(self, remote: OpenCache) -> None:
        await remote.limiter.limit("warm", "1/s")
        before = remote.cache.commands
        answers = await asyncio.gather(
            *(remote.limiter.limit(f"k{number % 2}", "3/1h") for number in range(10))
        )
        assert remote.cache.commands - before == 1
        # In the order of the calls, each after the one before it.
        assert answers[:6] == [Allowed(2), Allowed(2), Allowed(1), Allowed(1), Allowed(0), Allowed(0)]
        assert answers[6:] == [Denied(1200.0)] * 4

    async def test_equal_calls_are_counted_together_and_answered_one_by_one(self, remote: OpenCache) -> None:
        await remote.limiter.limit("warm", "1/s")
        same = [remote.limiter.limit("k", "10/10s", cost=3) for _ in range(4)]
        other = remote.limiter.limit("k", "10/10s", cost=1)
        answers = await asyncio.gather(*same, other)
        assert answers == [Allowed(7), Allowed(4), Allowed(1), Denied(2.0), Allowed(0)]

    async def test_more_than_one_command_should_hold_are_several(self, remote: OpenCache) -> None:
        await remote.limiter.limit("warm", "1/s")
        before = remote.cache.commands
        answers = await asyncio.gather(*(remote.limiter.limit(f"k{n}", "1/1h") for n in range(450)))
        assert remote.cache.commands - before == 3
        assert answers == [Allowed(0)] * 450

    async def test_one_bad_call_is_refused_alone(
        self, remote: OpenCache, redis_server: RedisServer, namespace: str
    ) -> None:
        redis_server.call("RPUSH", f"hw:{{{namespace}}}:rate:list", "a")
        redis_server.call("SET", f"hw:{{{namespace}}}:rate:text", "no number")
        keys = ["a", "list", "b", "text", "c"]
        answers = await asyncio.gather(
            *(remote.limiter.limit(key, "1/1h") for key in keys),
            remote.limiter.limit("d", "1/1h", cost=2),
            return_exceptions=True,
        )
        assert [answers[0], answers[2], answers[4]] == [Allowed(0)] * 3
        assert isinstance(answers[1], BrokerRefusedError)
        assert "WRONGTYPE" in str(answers[1])
        assert isinstance(answers[3], BrokerRefusedError)
        assert "no number" in str(answers[3])
        assert isinstance(answers[5], ConfigError)

    async def test_a_key_that_cannot_be_sent_holds_up_no_other(self, remote: OpenCache) -> None:
        answers = await asyncio.gather(
            *(remote.limiter.limit(key, "1/1h") for key in ("a", "\ud800", "b")), return_exceptions=True
        )
        assert [answers[0], answers[2]] == [Allowed(0)] * 2
        assert isinstance(answers[1], BrokerRefusedError)

    async def test_a_caller_that_goes_takes_nobody_with_it(self, remote: OpenCache) -> None:
        await remote.limiter.limit("warm", "1/s")
        calls = [asyncio.ensure_future(remote.limiter.limit("k", "2/1h")) for _ in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert all(isinstance(answer, Allowed) for answer in answers[1:])

    async def test_a_server_that_is_gone_fails_each_call_with_an_error_of_its_own(
        self, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with RedisServer() as server:
            opened = from_url(server.url, namespace=namespace)
            assert await opened.limiter.limit("k", "9/1h") == Allowed(8)
        monkeypatch.setattr("headway.storage.patience.CALL_DEADLINE", 0.1)
        errors = await asyncio.gather(
            *(opened.limiter.limit("k", "9/1h") for _ in range(3)), return_exceptions=True
        )
        assert [type(error) for error in errors] == [BrokerUnavailableError] * 3
        assert len({id(error) for error in errors}) == 3
        await opened.close()

    async def test_a_rate_leaves_nothing_behind(
        self, remote: OpenCache, redis_server: RedisServer, namespace: str
    ) -> None:
        await remote.limiter.limit("k", "2/100s")
        left = redis_server.call("PTTL", f"hw:{{{namespace}}}:rate:k")
        assert isinstance(left, int)
        assert 0 < left <= 50_000

    @settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        limit=st.integers(1, 20),
        period=st.integers(1, 3000),
        waits=st.lists(st.integers(0, 900), min_size=1, max_size=30),
    )
    def test_no_window_holds_more_than_the_burst_and_the_flow_and_who_waits_is_let_in(
        self, redis_server: RedisServer, namespace: str, limit: int, period: int, waits: list[int]
    ) -> None:
        """As the algorithm has it: in any window, at most the burst and what the rate lets flow in; who waits as told is let in."""

        async def live() -> None:
            clock = FakeClock()
            opened = from_url(redis_server.url, namespace=namespace, clock=clock)
            await opened.limiter.reset("k")
            allowed: list[int] = []
            try:
                for wait in waits:
                    clock.advance(wait)
                    answer = await opened.limiter.limit("k", f"{limit}/{period}ms")
                    if isinstance(answer, Denied):
                        clock.advance(ceil(answer.retry_after * 1000))  # the clock has whole ms
                        assert isinstance(await opened.limiter.limit("k", f"{limit}/{period}ms"), Allowed)
                    allowed.append(clock.now_ms())
            finally:
                await opened.close()
            for first, start in enumerate(allowed):
                for last in range(first, len(allowed)):
                    flowed = (allowed[last] - start) * limit / period
                    assert last - first + 1 <= limit + flowed + 0.01

        asyncio.run(live())


@pytest.mark.parametrize(
    ("text", "limit", "period_us"),
    [
        ("10/5s", 10, 5_000_000),
        ("1/s", 1, 1_000_000),
        (" 100 / 1m ", 100, 60_000_000),
        ("3/250ms", 3, 250_000),
        ("5/d", 5, 86_400_000_000),
    ],
)
def test_rates_are_read(text: str, limit: int, period_us: int) -> None:
    assert parse_rate(text) == (limit, period_us)


@pytest.mark.parametrize(
    "text", ["", "10", "0/s", "-1/s", "10/", "10/0s", "x/s", "10/fortnight", "999999999/1ms", "1.5/s"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="rate"):
        parse_rate(text)


class TestApp:
    async def test_tasks_use_them_through_the_app(self, url: str, namespace: str, tmp_path: Path) -> None:
        app = Headway(namespace, url=f"sqlite:///{tmp_path}/jobs.db", cache=url)
        with pytest.raises(HeadwayError, match="not open"):
            _ = app.cache
        async with app:
            await app.cache.set("k", 1, ttl=60)
            assert await app.cache.get("k", int) == 1
            assert app.cache is app.cache
            assert await app.limiter.limit("k", "1/h") == Allowed(0)
            cache = app.cache
        with pytest.raises(HeadwayError, match="not open"):
            _ = app.limiter
        async with app:
            assert app.cache is not cache
            assert await app.cache.get("k", int) == 1

    async def test_without_the_setting_it_says_so(self, namespace: str, tmp_path: Path) -> None:
        async with Headway(namespace, url=f"sqlite:///{tmp_path}/jobs.db") as app:
            with pytest.raises(ConfigError, match="HEADWAY_CACHE"):
                _ = app.cache

    async def test_a_server_that_is_gone_is_said(
        self, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("headway.storage.patience.OPEN_DEADLINE", 0.1)
        with RedisServer() as server:
            url = server.url
        opened = from_url(url, namespace=namespace)
        with pytest.raises(BrokerUnavailableError, match="cannot be reached"):
            await opened.cache.get("k")
        await opened.close()
