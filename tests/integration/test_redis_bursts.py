"""Many single enqueues at once on Redis: some leave in the middle of a turn of the loop; each is accepted once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headway import Headway
from headway.brokers.base import Enqueued
from headway.brokers.redis.session import Session
from headway.errors import BrokerRefusedError
from tests.integration.redis_app import broker, claim, job
from tests.servers import Direction

if TYPE_CHECKING:
    from headway import Task
    from headway.brokers.redis.broker import RedisBroker
    from headway.job import NewJob
    from tests.servers import RedisServer, TcpProxy

BURST = 300


def _app(url: str, namespace: str, **settings: Any) -> tuple[Headway, Task[[int], Any]]:
    app = Headway(namespace, url=url, **settings)

    @app.task(name="t", queue="q")
    def t(n: int) -> None: ...

    return app, t


async def _ids(app: Headway) -> list[str]:
    """The ids of all waiting jobs, in their order."""
    claimed = await claim(app.pull_carrier, 10 * BURST)  # type: ignore[arg-type]
    return [one.lease.job_id for one in claimed]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scripts that were called."""
    names: list[str] = []
    submit = Session.submit

    def watched(self: Session, name: str, *parts: Any, **options: Any) -> Any:
        names.append(name)
        return submit(self, name, *parts, **options)

    monkeypatch.setattr(Session, "submit", watched)
    return names


async def test_a_burst_is_accepted_in_order_by_several_calls(
    redis_url: str, namespace: str, sent: list[str]
) -> None:
    app, task = _app(redis_url, namespace)
    async with app:
        await task.enqueue(-1)
        del sent[:]
        handles = await asyncio.gather(*(task.enqueue(n) for n in range(BURST)))
        assert 2 < len(sent) < 10
        assert set(sent) == {"enqueue_plain"}
        assert (await _ids(app))[1:] == [handle.id for handle in handles]


async def test_a_burst_meets_an_emptied_server(own_redis_server: RedisServer, namespace: str) -> None:
    app, task = _app(own_redis_server.url, namespace)
    async with app:
        await task.enqueue(-1)
        own_redis_server.call("FLUSHALL")
        handles = await asyncio.gather(*(task.enqueue(n) for n in range(BURST)))
        assert sorted(await _ids(app)) == sorted(handle.id for handle in handles)


@pytest.mark.parametrize("count", [2, 40, BURST])
@pytest.mark.parametrize("reason", ["tombstone", "watched", "recorded"])
async def test_jobs_that_no_short_way_takes_keep_their_order(
    redis_url: str, namespace: str, reason: str, count: int
) -> None:
    app, task = _app(redis_url, namespace, record_events=reason == "recorded")
    async with app:
        first = await task.enqueue(-1)
        if reason == "tombstone":
            await first.cancel()
        if reason == "watched":
            session = app.carrier._session  # type: ignore[attr-defined]
            await session.command("SET", f"{session.prefix}ev:on", 1)
        handles = await asyncio.gather(*(task.enqueue(n) for n in range(count)))
        assert [one for one in await _ids(app) if one != first.id] == [handle.id for handle in handles]


async def test_a_burst_is_recorded_where_events_are(redis_url: str, namespace: str) -> None:
    app, task = _app(redis_url, namespace, record_events=True)
    async with app:
        handles = [await task.enqueue(-1), *await asyncio.gather(*(task.enqueue(n) for n in range(BURST)))]
        events = app.carrier.events("0-0")
        async with asyncio.timeout(10):
            seen = [(await anext(events)).job_id for _ in handles]
        assert sorted(seen) == sorted(handle.id for handle in handles)
        assert sorted(await _ids(app)) == sorted(seen)


@pytest.mark.parametrize("direction", list(Direction))
async def test_a_burst_that_is_cut_adds_each_job_once(
    redis_proxy: TcpProxy, namespace: str, direction: Direction
) -> None:
    app, task = _app(f"redis://127.0.0.1:{redis_proxy.port}/0", namespace)
    async with app:
        await task.enqueue(-1)
        redis_proxy.reset_after(5000 if direction is Direction.TO_SERVER else 4, direction)
        handles = await asyncio.gather(*(task.enqueue(n) for n in range(BURST)))
        assert sorted((await _ids(app))[1:]) == sorted(handle.id for handle in handles)


async def _begin(carrier: RedisBroker, *jobs: NewJob) -> Any:
    begun = carrier.begin_enqueue(jobs)
    return None if begun is None else await begun


async def test_only_plain_jobs_of_one_known_kind_begin_at_once(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        assert await _begin(carrier, job()) is None  # its kind is unknown here
        await carrier.enqueue([first := job()])
        second, third = job(), job()
        assert await _begin(carrier, second, third) == [Enqueued(second.id), Enqueued(third.id)]
        fourth = job()
        assert await _begin(carrier, second, fourth) == [Enqueued(second.id), Enqueued(fourth.id)]
        for unusual in (job("other"), job(key="k"), job(due_ms=2**43), job(expires_ms=2**43)):
            assert await _begin(carrier, job(), unusual) is None
        twice = job()
        assert await _begin(carrier, twice, twice) is None
        assert await _begin(carrier) is None
        assert [one.lease.job_id for one in await claim(carrier)] == [
            first.id,
            second.id,
            third.id,
            fourth.id,
        ]


async def test_a_full_server_refuses_what_begins(own_redis_server: RedisServer, namespace: str) -> None:
    async with broker(own_redis_server.url, namespace) as carrier:
        await carrier.enqueue([job()])
        own_redis_server.call("CONFIG", "SET", "maxmemory", 1)
        with pytest.raises(BrokerRefusedError, match="out of memory"):
            await _begin(carrier, job())
