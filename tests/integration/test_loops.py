"""Every loop of ours goes on whatever befalls one of its rounds: they are found in the source, and each is tried."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from headway import Context, Headway
from headway.brokers.base import BrokerSettings
from headway.brokers.redis.broker import RedisBroker
from headway.brokers.url import from_url, pulled
from headway.errors import BrokerRefusedError, BrokerUnavailableError, CodecError
from headway.job import JobState, NewJob, WorkerId, new_job_id
from headway.migrate.status import Command, Migration
from headway.migrate.telling import Telling
from headway.push import receiver
from headway.records import Recorder, RecordQuery, RecordStore
from headway.routing.carriers.opening import Opening
from headway.runtime.worker import Worker
from headway.server.live.board import Topic
from headway.server.live.source import Source
from headway.testing import FaultyBroker, inline
from tests.faults.figures import FIGURE
from tests.integration import loops
from tests.unit.push_scene import Call, FakePush, post
from tests.unit.server_scene import Scene as ServerScene
from tests.unit.server_scene import served as server_served
from tests.unit.test_emulator_dispatch import Scene
from tests.unit.test_supervisor import FakeCarrier, all_held
from tests.unit.test_supervisor import Scene as Group

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from pathlib import Path

    from headway.brokers.base import Heartbeat
    from headway.server.live.live import Live
    from headway.service import Service, Services
    from headway.testing.wrapper import Verb

DEADLINE: Final = 15.0
TIMES: Final = 3  # faults in a row, in each loop

FAULTS: Final[dict[str, Callable[[], BaseException]]] = {
    "unavailable": lambda: BrokerUnavailableError("cut"),
    "refused": lambda: BrokerRefusedError("full"),
    "damaged": lambda: CodecError("an entry is damaged"),
    "defect": lambda: RuntimeError("a defect"),
    "recursion": lambda: RecursionError("too deep"),
    "memory": MemoryError,
    "cancelled": asyncio.CancelledError,  # of a future that somebody else cancelled
    "stop": StopIteration,
}

ENDLESS: Final = {
    "service:Service.run": "the mechanism itself",
    "records.following:Following._follow": "a round of the mechanism, which ends with its first error",
    "demo.flow:Flow._run": "a demo that cannot go on ends, and says so",
    "cli.top:_live": "the screen of one person, who sees the reason on it, and ends it",
    "runtime.lane:Lane.fetch": "tells the mechanism of each round: what it claimed may not be cut off by a cancellation",
    "brokers.redis.wire.commands:Commands._run": "connects again after whatever ended the connection",
    "brokers.redis.wire.subscriptions:Listener._run": "connects again after whatever ended the connection",
}
"""Coroutines that go round without the mechanism, and why."""

THREADS: Final = {
    "brokers.sqlite.file.threads:_Thread.__init__": "answers each operation, also with its error",
    "brokers.sqlite.file.watcher:Watcher.want": "opens the file again after any error",
    "emulator.journal:Journal.open": "a write that fails is tried again, or ends the emulator: nothing is acknowledged unwritten",
    "app.portal:Portal._own_loop": "runs an event loop",
    "cli.server:_end_with_parent": "asks for a process id, which cannot fail",
}
"""Threads, and what keeps each alive."""


def test_each_endless_loop_is_run_by_the_mechanism_or_says_why_not() -> None:
    assert loops.endless() == set(ENDLESS)
    assert loops.threads() == set(THREADS)


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not happened():  # noqa: ASYNC110 - of many loops, none of which tells
            await asyncio.sleep(0.01)


class Tried:
    """The loops of one owner under test; `fail` makes each of them meet the fault, `works` shows that all is well."""

    def __init__(
        self,
        services: Services,
        fail: Callable[[Callable[[], BaseException]], None],
        failed: Callable[[], bool],
        works: Callable[[], Awaitable[None]],
        nudge: Callable[[], Awaitable[object]],
    ) -> None:
        self.services = services
        self.fail = fail
        self.failed = failed
        self.works = works
        self.nudge = nudge


LANE: Final[tuple[Verb, ...]] = ("claim", "heartbeat", "settle", "report", "tend", "signals")
"""What the loops of a lane ask of its carrier."""


@asynccontextmanager
async def lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    """One of two: what befalls it is nothing to the other."""
    async with working(tmp_path, monkeypatch, LANE) as (one, tried):
        tried.services = one.lanes[0].services
        yield tried
        assert not [service.name for service in one.lanes[1].services if service.failures]


@asynccontextmanager
async def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    monkeypatch.setattr("headway.runtime.made.LOOK", 0.1)
    async with working(tmp_path, monkeypatch, ("schedules", "made_schedules")) as (_, tried):
        yield tried


@asynccontextmanager
async def working(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verbs: Sequence[Verb]
) -> AsyncGenerator[tuple[Worker, Tried]]:
    """A worker of two carriers, the first of which fails."""
    monkeypatch.setattr("headway.runtime.lane.first_look", lambda: 0.0)
    monkeypatch.setattr("headway.app.counting.PAUSE", 0.1)
    monkeypatch.setattr("headway.routing.controller.IDLE", 0.1)
    monkeypatch.setattr("headway.runtime.maintenance._BUSY", 0.1)
    monkeypatch.setattr(
        "headway.runtime.maintenance._LONGEST", 0.1
    )  # the first look may come before the first job
    monkeypatch.setattr("headway.runtime.maintenance._SHORTEST", 0.1)
    url = f"sqlite:///{tmp_path / 'loops.db'}"
    faulty = FaultyBroker(pulled(from_url(url, BrokerSettings("loops"))))
    other = pulled(from_url(f"sqlite:///{tmp_path / 'other.db'}", BrokerSettings("loops")))
    app = Headway("loops", carrier={"first": faulty, "second": other}, lease=3.0, concurrency=4, url=url)
    stop = asyncio.Event()
    fired: list[int] = []

    @app.task(name="long")
    async def long(ctx: Context) -> None:
        while not stop.is_set():
            ctx.log("still here")
            await asyncio.sleep(0.02)

    @app.task(name="short")
    async def short() -> int:
        return 1

    @app.cron("* * * * * *", name="each second")
    @app.task(name="tick")
    async def tick() -> None:
        fired.append(1)

    async with app:
        one = Worker(app)
        running = asyncio.create_task(one.run())
        await long.enqueue()
        feeding = asyncio.create_task(feed(app, faulty))
        await until(lambda: one.holds)

        def fail(error: Callable[[], BaseException]) -> None:
            for verb in verbs:
                faulty.fail_next(verb, times=TIMES, error=error())

        async def works() -> None:
            count = len(fired)
            job = app.find_task("short").job()
            await faulty.inner.enqueue([job.new])
            await until(lambda: len(fired) > count)
            async with asyncio.timeout(DEADLINE):
                record = await faulty.inner.wait_finished(job.new.id, None)
            assert record is not None
            assert record.state is JobState.SUCCEEDED

        yield one, Tried(one.services, fail, lambda: not faulty.pending, works, lambda: asyncio.sleep(0))
        feeding.cancel()
        stop.set()
        one.stop()
        await asyncio.gather(running, feeding, return_exceptions=True)
        assert not running.cancelled()
        assert running.exception() is None


async def feed(app: Headway, faulty: FaultyBroker) -> None:
    """Give the worker something to settle, and its listener something to hear."""
    while True:
        await faulty.inner.enqueue([app.find_task("short").job().new])
        await asyncio.sleep(0.05)


@asynccontextmanager
async def receiving(_: Path, __: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    fake = FakePush()
    app = Headway("loops", carrier=fake.carrier)
    stop = asyncio.Event()

    @app.task(name="long")
    async def long() -> None:
        await stop.wait()

    @app.task(name="short")
    async def short() -> None: ...

    async with receiver(app, lease=0.3, handle_sigterm=False) as pushed:
        calls = [Call(pushed, b"long").start()]
        await until(lambda: fake.extended)
        opened = pushed._opened
        assert opened is not None

        def fail(error: Callable[[], BaseException]) -> None:
            fake.extend_errors.extend(error() for _ in range(TIMES))
            fake.answer_errors.append(error())
            calls.append(Call(pushed, b"short").start())

        async def works() -> None:
            count = len(fake.extended)
            answer = await post(pushed, "short")
            assert answer.status == 200
            await until(lambda: len(fake.extended) > count)

        yield Tried(
            opened.carriers.served[0].runs.services,
            fail,
            lambda: not (fake.extend_errors or fake.answer_errors),
            works,
            works,
        )
        stop.set()
        for call in calls:
            await call.answer()


@asynccontextmanager
async def emulator(_: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    scene = Scene()
    dispatcher = scene.dispatcher
    errors: list[BaseException] = []
    whole = dispatcher.dispatch_due

    def dispatch_due() -> int:
        if errors:
            raise errors.pop()
        return whole()

    monkeypatch.setattr(dispatcher, "dispatch_due", dispatch_due)
    dispatcher.start()

    def fail(error: Callable[[], BaseException]) -> None:
        errors.extend(error() for _ in range(TIMES))
        scene.add("first")

    async def works() -> None:
        count = len(scene.calls)
        scene.add("second")
        await until(lambda: len(scene.calls) > count)

    yield Tried(dispatcher._services, fail, lambda: not errors, works, works)
    await dispatcher.close()


@asynccontextmanager
async def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    monkeypatch.setattr("headway.server.running._USES_EVERY", 0.01)
    monkeypatch.setattr("headway.server.running._PRUNE_EVERY", 0.01)
    app = Headway("loops", url=f"sqlite:///{tmp_path}/jobs.db", access=f"sqlite:///{tmp_path}/access.db")
    async with server_served(app) as scene:
        tried = failing_database(scene, monkeypatch)
        text = await scene.key("read")

        async def nudge() -> None:
            scene.keyring._uses["nobody"] = 1  # something to be written

        async def works() -> None:
            assert await scene.keyring.find(text) is not None

        chores = scene.server.chores
        assert chores is not None
        yield Tried(chores.services, tried, lambda: not tried.errors, works, nudge)


@asynccontextmanager
async def server_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    monkeypatch.setattr("headway.server.live.source._AGAIN", 0.01)
    faulty = FaultyBroker(pulled(from_url(f"sqlite:///{tmp_path / 'loops.db'}", BrokerSettings("loops"))))
    async with faulty:
        heard: list[str] = []
        source = Source(
            "main", faulty, await faulty.events_end(), lambda _, event: heard.append(event.job_id)
        )

        def fail(error: Callable[[], BaseException]) -> None:
            faulty.fail_next("events", times=TIMES, error=error())

        async def nudge() -> None:
            await faulty.inner.enqueue([NewJob(new_job_id(), "t", "q", b"\x10\x90")])

        async def works() -> None:
            count = len(heard)
            await nudge()
            await until(lambda: len(heard) > count)

        async def feeding() -> None:
            while True:  # so that the stream has something to fail at
                await nudge()
                await asyncio.sleep(0.02)

        source.start()
        fed = asyncio.create_task(feeding())
        await works()
        yield Tried(source.services, fail, lambda: not faulty.pending, works, nudge)
        fed.cancel()
        await source.stop()


@asynccontextmanager
async def server_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    monkeypatch.setattr("headway.server.live.hub.EVERY", 0.01)
    async with live_served(tmp_path) as (scene, live):
        tried = failing_database(scene, monkeypatch)
        yield Tried(
            live.hub.services,
            tried,
            lambda: not tried.errors,
            lambda: asyncio.sleep(0),
            lambda: asyncio.sleep(0),
        )


@asynccontextmanager
async def server_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    monkeypatch.setattr("headway.server.live.board._EVERY", 0.01)
    async with live_served(tmp_path) as (scene, live):
        live.board.want(frozenset({Topic.QUEUES}))
        tried = failing_database(scene, monkeypatch)
        yield Tried(
            live.board.services,
            tried,
            lambda: not tried.errors,
            lambda: asyncio.sleep(0),
            lambda: asyncio.sleep(0),
        )


@asynccontextmanager
async def live_served(tmp_path: Path) -> AsyncGenerator[tuple[ServerScene, Live]]:
    app = Headway("loops", url=f"sqlite:///{tmp_path}/jobs.db", access=f"sqlite:///{tmp_path}/access.db")
    async with server_served(app) as scene:
        assert scene.state.live is not None
        yield scene, scene.state.live


class failing_database:  # noqa: N801 - called as a function
    """Has the calls of a server's database fail, so many as were asked for."""

    def __init__(self, scene: ServerScene, monkeypatch: pytest.MonkeyPatch) -> None:
        self.errors: list[BaseException] = []
        database = scene.state.services.shared.database
        whole = database._connection

        def connection(**options: Any) -> Any:
            if self.errors:
                raise self.errors.pop()
            return whole(**options)

        monkeypatch.setattr(database, "_connection", connection)

    def __call__(self, error: Callable[[], BaseException]) -> None:
        self.errors.extend(error() for _ in range(4 * TIMES))


@asynccontextmanager
async def inlined(tmp_path: Path, _: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    app = Headway("loops", url=f"sqlite:///{tmp_path / 'unused.db'}")

    @app.task(name="short")
    async def short() -> int:
        return 1

    async with inline(app) as box:

        def fail(error: Callable[[], BaseException]) -> None:
            box.faults.fail_next("settle", times=1, error=error())

        async def works() -> None:
            await short.enqueue()
            await box.run_until_idle(raise_errors=False)
            assert all(job.state.terminal for job in await box.jobs("short"))

        yield Tried(box.services, fail, lambda: True, works, lambda: asyncio.sleep(0))


@asynccontextmanager
async def supervising(_: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    errors: list[BaseException] = []
    looks: list[int] = []

    def watch(_: list[str]) -> list[str]:
        looks.append(1)
        if errors:
            raise errors.pop()
        return []

    async with grouped(monkeypatch, watch) as group:

        def fail(error: Callable[[], BaseException]) -> None:
            errors.extend(error() for _ in range(TIMES))

        async def works() -> None:
            count = len(looks)
            await until(lambda: len(looks) > count)

        yield Tried(group.supervisor._services, fail, lambda: not errors, works, lambda: asyncio.sleep(0))


@asynccontextmanager
async def heart(_: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    errors: dict[str, list[BaseException]] = {"open": [], "beat": []}
    armed = asyncio.Event()

    def meet(what: str) -> None:
        if errors[what]:
            raise errors[what].pop()

    async def beat(workers: Sequence[WorkerId]) -> list[Heartbeat]:
        meet("beat")
        return await all_held(workers)

    async def open_carrier(_: object) -> None:
        await armed.wait()
        meet("open")

    monkeypatch.setattr(FakeCarrier, "open", open_carrier)
    async with grouped(monkeypatch, None) as group:
        group.carrier.on_beat = beat
        group.places[0].slots.hold(1)

        def fail(error: Callable[[], BaseException]) -> None:
            for met in errors.values():
                met.extend(error() for _ in range(TIMES))
            armed.set()

        [tried] = group.supervisor._hearts.values()
        yield Tried(
            tried.services, fail, lambda: not any(errors.values()), group.beats, lambda: asyncio.sleep(0)
        )


@asynccontextmanager
async def grouped(
    monkeypatch: pytest.MonkeyPatch, watch: Callable[[list[str]], list[str]] | None
) -> AsyncGenerator[Group]:
    """A supervisor and workers that are made of nothing."""
    monkeypatch.setattr("headway.runtime.supervisor._WATCH_SECONDS", 0.01)
    monkeypatch.setattr("headway.runtime.supervisor._LAST_WORDS", 0.05)
    group = Group(monkeypatch, watch=watch)
    await group.ready()
    yield group
    assert await group.close() == 0


@asynccontextmanager
async def opening(tmp_path: Path, _: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    away = FaultyBroker(pulled(from_url(f"sqlite:///{tmp_path}/away.db", BrokerSettings("loops"))))
    near = from_url(f"sqlite:///{tmp_path}/near.db", BrokerSettings("loops"))
    away.fail_next("open", error=BrokerUnavailableError("cut"))
    carriers = Opening({"near": near, "away": away})
    await carriers.open()
    [services] = carriers.services

    def fail(error: Callable[[], BaseException]) -> None:
        away.fail_next("open", times=TIMES, error=error())

    async def works() -> None:
        await until(lambda: [service.rounds for service in services] == [1])
        assert await away.counts() == []

    yield Tried(services, fail, lambda: not away.pending, works, lambda: asyncio.sleep(0))
    await carriers.close()
    await away.close()
    await near.close()


@asynccontextmanager
async def recorded(tmp_path: Path) -> AsyncGenerator[tuple[Recorder, RecordStore, FaultyBroker]]:
    """An app whose carrier tells of a new job twenty times a second, and its recorder."""
    url = f"sqlite:///{tmp_path / 'loops.db'}"
    faulty = FaultyBroker(pulled(from_url(url, BrokerSettings("loops", record_events=True))))
    app = Headway("loops", carrier=faulty, url=url, records=f"sqlite:///{tmp_path / 'records.db'}")

    @app.task(name="short")
    async def short() -> None: ...

    store = RecordStore(app.settings.records, namespace="loops")
    await store.upgrade()
    async with store, app, Recorder(app, store) as recorder:
        feeding = asyncio.create_task(feed(app, faulty))
        yield recorder, store, faulty
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


@asynccontextmanager
async def following(tmp_path: Path, _: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    async with recorded(tmp_path) as (recorder, store, faulty):
        [one] = recorder._following.values()

        def fail(error: Callable[[], BaseException]) -> None:
            faulty.fail_next("get", times=TIMES, error=error())

        async def works() -> None:
            [last] = (await store.search(RecordQuery(), limit=1)).jobs or [None]
            async with asyncio.timeout(DEADLINE):
                while (await store.search(RecordQuery(), limit=1)).jobs in ((), (last,)):  # noqa: ASYNC110 - the database tells nobody
                    await asyncio.sleep(0.01)

        await works()
        yield Tried(one._services, fail, lambda: not faulty.pending, works, lambda: asyncio.sleep(0))


@asynccontextmanager
async def forgetting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    monkeypatch.setattr("headway.records.recorder._RETENTION", 0.01)
    errors: list[BaseException] = []
    rounds: list[int] = []

    async def prune(*_: object, **__: object) -> int:
        if errors:
            raise errors.pop()
        rounds.append(1)
        return 0

    monkeypatch.setattr("headway.records.recorder.prune", prune)
    async with recorded(tmp_path) as (recorder, _, _):

        def fail(error: Callable[[], BaseException]) -> None:
            errors.extend(error() for _ in range(TIMES))

        async def works() -> None:
            count = len(rounds)
            await until(lambda: len(rounds) > count)

        yield Tried(recorder._services, fail, lambda: not errors, works, lambda: asyncio.sleep(0))


@asynccontextmanager
async def spooling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    monkeypatch.setattr("headway.routing.failover.flushing._REFUSED", 0.1)
    monkeypatch.setattr("headway.routing.failover.flushing._IDLE", 0.05)
    faulty = FaultyBroker(pulled(from_url(f"sqlite:///{tmp_path}/loops.db", BrokerSettings("loops"))))
    spool = f"sqlite:///{tmp_path}/spool.db"
    app = Headway("loops", carrier=faulty, spool=spool, breaker_errors=1000, breaker_pause=0.05)

    @app.task(name="short")
    async def short() -> int:
        return 1

    async with app:
        assert app.failover is not None
        failover = app.failover
        services = failover.flushers["main"].services

        async def put() -> None:
            await failover.carriers["main"]._keep([short.job().new], None)

        putting: list[asyncio.Task[None]] = []

        def fail(error: Callable[[], BaseException]) -> None:
            faulty.fail_next("enqueue", times=TIMES, error=error())
            putting.append(asyncio.create_task(put()))

        async def works() -> None:
            await asyncio.gather(*putting)
            async with asyncio.timeout(DEADLINE):
                while (await failover.contents()).jobs:  # noqa: ASYNC110 - of a file
                    await asyncio.sleep(0.02)
            assert sum(sum(one.counts.values()) for one in await faulty.counts()) == len(putting)

        yield Tried(services, fail, lambda: not faulty.pending, works, lambda: asyncio.sleep(0))


@asynccontextmanager
async def migration_telling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Tried]:
    monkeypatch.setattr("headway.migrate.telling.EVERY", 0.01)
    monkeypatch.setattr("headway.migrate.telling.AT_LEAST", 0.0)
    errors: list[BaseException] = []
    rounds: list[int] = []

    async def change(*_: object) -> None:
        if errors:
            raise errors.pop()
        rounds.append(1)

    async def listed(*_: object) -> None: ...

    monkeypatch.setattr("headway.migrate.telling.change_migration", change)
    monkeypatch.setattr("headway.migrate.telling.list_migration", listed)
    app = Headway("loops", url=f"sqlite:///{tmp_path}/jobs.db")
    migration = Migration("00000000000000a1", "arq", "redis://localhost/0", "")
    async with app, Telling(app, migration, Command.APPLY, "amy", ["arq:queue"]) as telling:

        def fail(error: Callable[[], BaseException]) -> None:
            errors.extend(error() for _ in range(TIMES))

        async def works() -> None:
            count = len(rounds)
            await until(lambda: len(rounds) > count)

        yield Tried(telling.services, fail, lambda: not errors, works, lambda: asyncio.sleep(0))
        errors.clear()


OWNERS: Final[dict[str, Any]] = {
    "migrate.telling": migration_telling,
    "records.following": following,
    "records.recorder": forgetting,
    "routing.carriers.opening": opening,
    "routing.failover.flushing": spooling,
    "runtime.heart": heart,
    "runtime.supervisor": supervising,
    "runtime.lane": lane,
    "runtime.worker": worker,
    "push.run": receiving,
    "emulator.driven": emulator,
    "server.live.board": server_board,
    "server.live.hub": server_hub,
    "server.live.source": server_source,
    "server.running": serving,
    "testing.inlined": inlined,
}
ELSEWHERE: Final = {
    ("push.opened", "rollouts"): "the round of the workers' own; it runs in test_rollout_app",
    ("demo.push", "schedules"): "the round of the workers' own",
    ("app.accepted", "figures"): "the round of the workers' own",
    ("push.run", "figures"): "the round of the workers' own",
    ("brokers.redis.events", "presence"): "one command; tried below",
    ("runtime.lane", "connection"): "where there is a connection: test_redis_outage",
    ("runtime.heart", "connection"): "where there is a connection: faults/test_redis",
    ("guards.doubts", "leases in doubt"): "begun by a store that did not answer: test_cloudtasks_answers",
}


def test_each_service_has_an_owner_that_is_tried() -> None:
    assert {module for module, _ in loops.services() - set(ELSEWHERE)} == set(OWNERS)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("owner", OWNERS)
async def test_a_loop_goes_on_after_a_fault(
    owner: str,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record_property: Callable[[str, object], None],
) -> None:
    async with OWNERS[owner](tmp_path, monkeypatch) as tried:
        services: Services = tried.services
        found = {service.name: service for service in services}
        known = {one for one in loops.services() - set(ELSEWHERE) if one[0] == owner}
        assert {(owner, name) for name in found} == known
        before = {name: service.rounds for name, service in found.items()}
        tried.fail(FAULTS[fault])
        await until(tried.failed)
        caplog.clear()
        await tried.works()
        for service in found.values():
            await goes_on(service, before[service.name], tried)
        assert services.outage is None or not services.outage.away
        assert not [record for record in caplog.records if record.levelname == "CRITICAL"]
    record_property(FIGURE, f"{len(found)} loops: {', '.join(sorted(found))}")


async def goes_on(service: Service, before: int, tried: Tried) -> None:
    """Wait until the loop has played a round since, and its faults are forgotten."""
    async with asyncio.timeout(DEADLINE):
        while service.failures or service.rounds <= before:
            await tried.nudge()
            await asyncio.sleep(0.01)


async def test_who_watches_events_is_present_again_after_a_fault(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.brokers.redis.events._RENEWAL", 0.01)
    async with RedisBroker.from_url(redis_url, BrokerSettings(namespace)) as broker:
        events = broker.events()
        watching = asyncio.ensure_future(anext(events))
        feed = broker._events
        await until(lambda: list(feed._services))
        [presence] = feed._services
        whole, errors = feed._announce, [RuntimeError("a defect"), BrokerUnavailableError("cut")]

        async def announce() -> None:
            if errors:
                raise errors.pop()
            await whole()

        monkeypatch.setattr(feed, "_announce", announce)
        await until(lambda: not errors)
        before = presence.rounds
        await until(lambda: presence.rounds > before)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.parametrize("role", ["command", "listen"])
async def test_a_connection_is_made_anew_whatever_ended_it(
    redis_url: str, namespace: str, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with RedisBroker.from_url(redis_url, BrokerSettings(namespace)) as broker:
        signals = broker.signals(WorkerId("w"))
        await anext(signals)
        owner: Any = broker._commands if role == "command" else broker._listener
        runner, connector = owner._runner, owner._connector
        whole, errors = connector.connect, [RuntimeError("a defect"), RecursionError("too deep")]

        async def connect(asked: str) -> object:
            if asked == role and errors:
                raise errors.pop()
            return await whole(asked)

        connector.connect = connect
        try:
            owner._connection._end(ValueError("damaged"))
            await until(lambda: not errors and owner._connection is not None)
        finally:
            connector.connect = whole
        assert owner._runner is runner
        assert not runner.done()
        await broker.enqueue([NewJob(id=new_job_id(), task="t", queue="q", payload=b"")])
        await broker.cancel([])
    assert "a defect" in caplog.text
