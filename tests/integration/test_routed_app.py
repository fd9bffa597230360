"""An app with several carriers: each job goes where its route says, and is found, met and ended as if there were one."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import pytest

from headway import Headway, Unique
from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url, pulled
from headway.errors import ConfigError
from headway.job import JobState, mark_of
from headway.routing import following
from headway.routing.declared import Declared
from headway.routing.following import ROUTES, Following
from headway.routing.routes import Route, route_of
from headway.routing.table import RouteTable
from headway.routing.tableformat import decode_table, encode_table
from headway.runtime.scheduler import Scheduler
from headway.service import Remarks
from headway.testing import FakeClock, FaultyBroker, inline

if TYPE_CHECKING:
    from pathlib import Path

    from headway.brokers.base import ControlStore, Store
    from headway.testing.wrapper import Verb

QUEUE: Final = "mail"


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a change of routes count at once, and be noticed at the next job."""
    monkeypatch.setattr(following, "SETTLING", 0.0)
    monkeypatch.setattr(following, "_OLDEST", 0.0)


def _app(folder: Path, **settings: object) -> Headway:
    carriers = {name: f"sqlite:///{folder / name}.db" for name in ("east", "west")}
    return Headway("routed", **({"carriers": carriers} | settings))  # type: ignore[arg-type]


def _control(app: Headway) -> ControlStore:
    store = app.carriers["east"].capabilities.control
    assert store is not None
    return store


async def _change(app: Headway, weights: dict[str, int]) -> None:
    """Set a route, as `headway routes set` does."""
    store = _control(app)
    found = await store.read_control(ROUTES)
    table = RouteTable() if found is None else decode_table(found.body)
    new = table.changed(
        {QUEUE: route_of(QUEUE, weights)},
        who="test",
        when_ms=0,
        why="",
        unrouted=lambda queue: Route(queue, (("east", 100),)),
    )
    assert await store.write_control(ROUTES, encode_table(new), expected=table.version) == new.version


async def _where(app: Headway, job_id: str) -> list[str]:
    """Say which carriers know the job."""
    found = {name: await store.get([app.job(job_id).id]) for name, store in app.carriers.items()}
    return [name for name, records in found.items() if records != [None]]


async def test_what_has_no_route_goes_to_the_first_carrier_and_a_route_sends_it_elsewhere(
    tmp_path: Path,
) -> None:
    app = _app(tmp_path, routes={"mail": "west"})

    @app.task(queue=QUEUE)
    async def send(number: int) -> int:
        return number

    @app.task
    async def other() -> None: ...

    async with app:
        sent, plain = await send.enqueue(1), await other.enqueue()
        many = await app.enqueue_many([send.job(n) for n in range(3)])
        assert await _where(app, sent.id) == ["west"]
        assert await _where(app, plain.id) == ["east"]
        assert [await _where(app, one.id) for one in many] == [["west"]] * 3
        assert (sent.id[-1], plain.id[-1]) == (mark_of("west"), mark_of("east"))
        assert await app.jobs.cancel(sent, plain) == [JobState.CANCELLED] * 2


def test_blocking_code_follows_the_routes(tmp_path: Path) -> None:
    app = _app(tmp_path, routes={"mail": "west"})

    @app.task(queue=QUEUE)
    def send(number: int) -> int:
        return number

    with app.sync:
        ids = [send.sync.enqueue(n).id for n in range(5)]
        assert all(one is not None and one.state is JobState.READY for one in app.sync.jobs.get(*ids))
    assert {one[-1] for one in ids} == {mark_of("west")}


async def test_one_look_up_finds_a_job_and_a_wrong_mark_costs_a_second(tmp_path: Path) -> None:
    app = _app(tmp_path, routes={"mail": {"east": 50, "west": 50}})

    @app.task(queue=QUEUE)
    async def send(number: int) -> int:
        return number

    async with app:
        handles = [await send.enqueue(n) for n in range(40)]
        assert {(await _where(app, one.id))[0] for one in handles} == {"east", "west"}
        for one in handles:
            assert await _where(app, one.id) == ["east" if one.id[-1] == mark_of("east") else "west"]
        job = send.job(1).new
        await app.carriers["west"].enqueue([job])  # as after a change of names: whatever its id ends in
        assert (await app.carrier.get([job.id]))[0] is not None


@pytest.mark.usefixtures("settled")
async def test_a_key_of_before_a_change_still_holds(tmp_path: Path) -> None:
    app = _app(tmp_path)

    @app.task(queue=QUEUE)
    async def send(number: int) -> int:
        return number

    async with app:
        first = await send.options(key="a").enqueue(1)
        await _change(app, {"west": 100})
        again = await send.options(key="a").enqueue(1)
        assert (again.id, again.duplicate) == (first.id, True)
        plain = await send.enqueue(2)
        fresh = await send.options(key="b").enqueue(3)
        assert [await _where(app, one.id) for one in (first, plain, fresh)] == [["east"], ["west"], ["west"]]
        assert (await send.options(key="b").enqueue(3)).id == fresh.id
        [many] = await app.enqueue_many([send.options(key="a").job(1)])
        assert (many.id, many.duplicate) == (first.id, True)
        await _change(app, {"east": 100})
        assert (await send.options(key="b").enqueue(3)).id == fresh.id


@pytest.mark.usefixtures("settled")
async def test_a_unique_job_of_before_a_change_still_holds_until_it_ends(tmp_path: Path) -> None:
    app = _app(tmp_path)

    @app.task(queue=QUEUE, unique=Unique())
    async def send(number: int) -> int:
        return number

    async with app:
        first = await send.enqueue(1)
        await _change(app, {"west": 100})
        assert (await send.enqueue(1)).duplicate
        other = await send.enqueue(2)
        assert await _where(app, other.id) == ["west"]
        await first.cancel()
        after = await send.enqueue(1)
        assert not after.duplicate
        assert await _where(app, after.id) == ["west"]
        assert (await send.enqueue(1)).id == after.id


async def test_jobs_with_a_key_stay_where_they_were_until_a_change_has_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_OLDEST", 0.0)
    app = _app(tmp_path)

    @app.task(queue=QUEUE)
    async def send(number: int) -> int:
        return number

    async with app:
        await _change(app, {"west": 100})
        named, plain = await send.options(key="a").enqueue(1), await send.enqueue(1)
        assert [await _where(app, one.id) for one in (named, plain)] == [["east"], ["west"]]


@pytest.mark.usefixtures("settled")
async def test_names_hold_while_a_carrier_is_drained_and_when_it_takes_jobs_again(tmp_path: Path) -> None:
    app = _app(tmp_path)  # the first of its carriers takes all queues: none of them has a route

    @app.task(queue=QUEUE)
    async def send(number: int) -> int:
        return number

    async def drain(**drained: str) -> None:
        store = _control(app)
        found = await store.read_control(ROUTES)
        table = RouteTable() if found is None else decode_table(found.body)
        new = table.drained_as(
            drained, who="", when_ms=0, why="", unrouted=Declared(("east", "west")).unrouted, queues=()
        )
        assert await store.write_control(ROUTES, encode_table(new), expected=table.version) == new.version

    async with app:
        first = await send.options(key="a").enqueue(1)
        await drain(east="west")
        again, plain = await send.options(key="a").enqueue(1), await send.enqueue(2)
        many = await app.enqueue_many([send.job(3), send.options(key="b").job(4)])
        assert (again.id, again.duplicate) == (first.id, True)
        assert [await _where(app, one.id) for one in (first, plain, *many)] == [["east"]] + [["west"]] * 3
        await drain()
        assert (await send.options(key="b").enqueue(4)).id == many[1].id
        assert await _where(app, (await send.enqueue(5)).id) == ["east"]


async def test_a_name_asks_every_carrier_while_the_first_look_is_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that starts on a busy host would go by its settings, and know of no earlier route."""
    monkeypatch.setattr(following, "_PATIENCE", 0.01)
    app, late = _app(tmp_path, routes={"mail": "west"}), _app(tmp_path)

    @app.task(name="send", queue=QUEUE)
    async def send(number: int) -> int:
        return number

    @late.task(name="send", queue=QUEUE)
    async def send_late(number: int) -> int:
        return number

    async with app, late:
        first = await send.options(key="a").enqueue(1)
        answers = asyncio.Event()
        store = _control(late)
        read = store.read_control

        async def slow(name: str, *, newer_than: int = 0) -> object:
            await answers.wait()
            return await read(name, newer_than=newer_than)

        monkeypatch.setattr(store, "read_control", slow)
        again = await send_late.options(key="a").enqueue(1)
        assert (again.id, again.duplicate) == (first.id, True)
        [many] = await late.enqueue_many([send_late.options(key="a").job(1)])
        assert (many.id, many.duplicate) == (first.id, True)
        assert await _where(late, (await send_late.enqueue(2)).id) == ["east"]
        answers.set()


@pytest.mark.usefixtures("settled")
async def test_every_process_follows_a_change_and_goes_on_while_it_cannot_ask(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = _app(tmp_path), _app(tmp_path)

    @one.task(queue=QUEUE, name="send")
    async def send(number: int) -> int:
        return number

    @other.task(queue=QUEUE, name="send")
    async def send_there(number: int) -> int:
        return number

    async with one, other:
        await send.enqueue(1)
        await _change(other, {"west": 100})
        assert await _where(one, (await send.enqueue(1)).id) == ["west"]
        damaged = b"not a table"
        assert await _control(other).write_control(ROUTES, damaged, expected=1) == 2
        assert await _where(one, (await send.enqueue(1)).id) == ["west"]
    assert sum("they cannot be read" in record.getMessage() for record in caplog.records) == 1


async def test_pages_hold_each_job_once_the_latest_first(tmp_path: Path) -> None:
    app = _app(tmp_path, routes={"mail": {"east": 70, "west": 30}})

    @app.task(queue=QUEUE)
    async def send(number: int) -> int:
        return number

    async with app:
        handles = await app.enqueue_many([send.job(n) for n in range(101)])
        seen: list[str] = []
        after: str | None = None
        while True:
            page = await app.jobs.list(limit=7, after=after)
            assert len(page.jobs) == 7 or page.cursor is None
            seen += [job.id for job in page.jobs]
            if page.cursor is None:
                break
            after = page.cursor
        assert seen == sorted((one.id for one in handles), reverse=True)
        [counted] = await app.queues.counts(QUEUE)
        assert counted.counts == {JobState.READY: 101}
        with pytest.raises(ConfigError, match="is not a cursor of this app's lists"):
            await app.jobs.list(after="nonsense")


async def test_who_waits_for_a_job_is_answered_wherever_it_ends(tmp_path: Path) -> None:
    app = _app(tmp_path, routes={"mail": "west"})

    @app.task(queue=QUEUE)
    async def send(number: int) -> int:
        return number

    async with app:
        handle = await send.enqueue(1)
        waiting = asyncio.create_task(handle.wait(10))
        await asyncio.sleep(0)
        await app.carriers["west"].cancel([handle.id])
        assert await waiting is JobState.CANCELLED


async def test_inline_tests_of_an_app_with_several_carriers_need_none(tmp_path: Path) -> None:
    app = _app(tmp_path, routes={"mail": "west"})

    @app.task(queue=QUEUE)
    def send(number: int) -> int:
        return number + 1

    async with inline(app):
        assert await (await send.enqueue(1)).result() == 2
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - of a test


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"routes": {"mail": "north"}},
            "routes.mail: there is no carrier 'north'; the carriers are east, west",
        ),
        ({"routes": {"mail": {"east": 50, "west": 40}}}, "routes.mail: the weights add up to 90 percent"),
        ({"url": "sqlite:///third.db"}, "names the carriers of this app; name this one there as well"),
        ({"carriers": {"by": "sqlite:///a.db"}}, "a carrier's name has 1 to 32 letters"),
        ({"carriers": {}, "routes": {"mail": "east"}}, "there is only one carrier"),
    ],
)
async def test_settings_that_cannot_be_are_refused(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        async with _app(tmp_path, **settings):
            pass


def test_an_unrouted_following_asks_nobody() -> None:
    router = Following(("main",), {}, None)
    assert not router.stale


@pytest.mark.parametrize("away", ["east", "west"])
async def test_a_carrier_that_is_away_stops_no_schedule_of_another(tmp_path: Path, away: str) -> None:
    clock = FakeClock()
    settings = BrokerSettings(namespace="routed")
    stores = {
        name: FaultyBroker(pulled(from_url(f"sqlite:///{tmp_path / name}.db", settings, clock=clock)))
        for name in ("east", "west")
    }
    names = dict.fromkeys(stores, "sqlite:///never.db")  # the stores stand for these
    app = Headway(
        "routed", carrier=dict(stores), clock=clock, carriers=names, routes={"a": "east", "b": "west"}
    )

    for queue in ("a", "b"):

        @app.every("1m")
        @app.task(queue=queue, name=f"fires_{queue}")
        async def fires() -> None: ...

    async with app:
        scheduler = Scheduler(app, Remarks(logging.getLogger("headway.test"), "test"))
        await scheduler.look()
        verbs: tuple[Verb, ...] = ("schedules", "enqueue", "declare_schedules")
        for verb in verbs:
            stores[away].fail_next(verb, times=100)
        clock.advance(60_000)
        await scheduler.look()
        stores[away]._asked.clear()
        counted = {name: await _count(store) for name, store in stores.items()}
        other = "west" if away == "east" else "east"
        assert counted == {away: 0, other: 1}
        await scheduler.look()
        counted = {name: await _count(store) for name, store in stores.items()}
        assert counted == {"east": 1, "west": 1}


async def _count(store: Store) -> int:
    return sum(sum(one.counts.values()) for one in await store.counts())
