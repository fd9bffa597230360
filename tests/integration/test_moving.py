"""Waiting jobs that are taken over to another carrier: each once, whatever breaks on the way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from headway import Headway
from headway.brokers.base import BrokerSettings, JobQuery, QueueWant
from headway.brokers.url import from_url, pulled
from headway.errors import BrokerUnavailableError, ConfigError, ResultTimeoutError
from headway.job import JobState, NewJob, UniqueLock, UniqueMode, WorkerId, new_job_id
from headway.routing.moving import move_waiting
from headway.testing import FaultyBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from headway.app.handle import JobHandle
    from headway.brokers.base import Carrier
    from headway.job import JobId, JobRecord

QUEUE: Final = "mail"
WANT: Final = [QueueWant(QUEUE, 1000)]


class Two:
    """A SQLite file and a Redis server, or two files."""

    def __init__(self, here: Carrier, there: Carrier) -> None:
        self.here, self.there = here, there

    @property
    def carriers(self) -> dict[str, Carrier]:
        return {"here": self.here, "there": self.there}

    async def all_jobs(self) -> dict[JobId, list[tuple[str, JobRecord]]]:
        found: dict[JobId, list[tuple[str, JobRecord]]] = {}
        for name, carrier in self.carriers.items():
            page = await carrier.list(JobQuery(), limit=1000)
            for record in page.jobs:
                found.setdefault(record.id, []).append((name, record))
        return found

    async def claimed(self, carrier: Carrier) -> list[JobId]:
        claimed = await carrier.claim(WANT, worker=WorkerId("w"), limit=1000, lease_ms=30_000)
        return [one.lease.job_id for one in claimed.deliveries]


@pytest.fixture(params=["sqlite", "redis"])
async def two(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> AsyncIterator[Two]:
    """Open both, the source of either kind."""
    settings = BrokerSettings(namespace=namespace)
    redis: str = request.getfixturevalue("redis_url")
    urls = [f"sqlite:///{tmp_path}/jobs.db", redis]
    if request.param == "redis":
        urls.reverse()
    one, other = (pulled(from_url(url, settings)) for url in urls)
    async with one, other:
        yield Two(one, other)


def _jobs(count: int, **fields: Any) -> list[NewJob]:
    made = [NewJob(new_job_id(), "shop.send", QUEUE, b"payload", 5) for _ in range(count)]
    return [NewJob(**({name: getattr(one, name) for name in one.__struct_fields__} | fields)) for one in made]


async def test_all_that_waits_is_moved_with_all_that_it_has(two: Two) -> None:
    ready, later = _jobs(450), _jobs(3, due_ms=2**42, key=None)
    [named] = _jobs(1, key="k", priority=9)
    [alone] = _jobs(1, unique=UniqueLock("u", UniqueMode.REJECT))
    await two.here.enqueue([*ready, *later, named, alone])
    [running] = _jobs(1, priority=9, queue="other")
    await two.here.enqueue([running])
    done = await move_waiting(two.carriers, QUEUE, "here", "there")
    assert (done.moved, done.left, done.refused) == (455, 0, ())
    found = await two.all_jobs()
    assert {name for job_id, [(name, _)] in found.items() if job_id != running.id} == {"there"}
    assert found[running.id][0][0] == "here"
    record = found[later[0].id][0][1]
    assert (record.state, record.due_ms) == (JobState.SCHEDULED, 2**42)
    assert found[named.id][0][1].key == "k"
    again = NewJob(new_job_id(), "shop.send", QUEUE, b"", key="k")
    assert (await two.there.enqueue([again]))[0].duplicate_of == named.id
    twin = NewJob(new_job_id(), "shop.send", QUEUE, b"", unique=alone.unique)
    assert (await two.there.enqueue([twin]))[0].duplicate_of == alone.id
    assert (await two.here.enqueue([again]))[0].duplicate_of is None


async def test_there_and_back(two: Two) -> None:
    jobs = _jobs(20)
    await two.here.enqueue(jobs)
    for source, target in (("here", "there"), ("there", "here"), ("here", "there")):
        assert (await move_waiting(two.carriers, QUEUE, source, target)).moved == 20
    assert sorted(await two.claimed(two.there)) == sorted(one.id for one in jobs)
    assert await two.claimed(two.here) == []


@pytest.mark.parametrize("verb", ["withdraw", "enqueue", "remove", "list"])
@pytest.mark.parametrize("applied", [True, False])
async def test_a_move_that_breaks_off_is_finished_by_the_next(two: Two, verb: str, *, applied: bool) -> None:
    jobs = _jobs(30)
    await two.here.enqueue(jobs)
    broken = dict(two.carriers)
    side = "there" if verb == "enqueue" else "here"
    carrier = broken[side]
    calls = 0
    inner = getattr(carrier.capabilities.mover if verb == "withdraw" else carrier, verb)

    class Breaking:
        """The carrier, but that one call fails, before or after it was applied."""

        def __getattr__(self, name: str) -> object:
            return fail if name == verb else getattr(carrier, name)

        @property
        def capabilities(self) -> object:
            from msgspec.structs import replace  # noqa: PLC0415 - of this case

            return replace(carrier.capabilities, mover=self)

    async def fail(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls > (2 if verb == "list" else 0):
            if applied:
                await inner(*args, **kwargs)
            msg = "the connection broke"
            raise BrokerUnavailableError(msg)
        return await inner(*args, **kwargs)

    broken[side] = Breaking()  # type: ignore[assignment]
    if verb == "list":
        await move_waiting({"here": two.here, "there": two.there}, "nothing", "here", "there")
    with pytest.raises(BrokerUnavailableError):
        await move_waiting(broken, QUEUE, "here", "there")
    assert set(await two.all_jobs()) == {one.id for one in jobs}  # nothing is lost in between
    await move_waiting(two.carriers, QUEUE, "here", "there")
    found = await two.all_jobs()
    assert {job_id: [name for name, _ in places] for job_id, places in found.items()} == {
        one.id: ["there"] for one in jobs
    }
    assert sorted(await two.claimed(two.there)) == sorted(one.id for one in jobs)


async def test_workers_and_two_movers_at_once_run_each_job_once(two: Two) -> None:
    jobs = _jobs(600)
    await two.here.enqueue(jobs)
    ran: list[JobId] = []
    ends, all_ran = asyncio.Event(), asyncio.Event()

    async def work(carrier: Carrier, name: str) -> None:
        while not ends.is_set():
            claimed = await carrier.claim(
                [QueueWant(QUEUE, 7)], worker=WorkerId(name), limit=7, lease_ms=60_000
            )
            ran.extend(one.lease.job_id for one in claimed.deliveries)
            if len(ran) >= len(jobs):
                all_ran.set()
            await asyncio.sleep(0)

    workers = [asyncio.create_task(work(one, name)) for name, one in two.carriers.items()]
    await asyncio.gather(*(move_waiting(two.carriers, QUEUE, "here", "there") for _ in range(2)))
    async with asyncio.timeout(30):
        await all_ran.wait()
    ends.set()
    await asyncio.gather(*workers)
    assert sorted(ran) == sorted(one.id for one in jobs)


async def test_what_the_other_carrier_does_not_take_waits_as_before(two: Two) -> None:
    jobs = _jobs(3)
    [alone] = _jobs(1, unique=UniqueLock("u", UniqueMode.REJECT))
    await two.here.enqueue([*jobs, alone])

    class Plain:
        """The other carrier, but without unique jobs."""

        def __getattr__(self, name: str) -> object:
            return getattr(two.there, name)

        @property
        def capabilities(self) -> object:
            from msgspec.structs import replace  # noqa: PLC0415 - of this case

            return replace(two.there.capabilities, unique=False)

    done = await move_waiting({"here": two.here, "there": Plain()}, QUEUE, "here", "there")  # type: ignore[dict-item]
    assert done.moved == 3
    assert [one for one, _ in done.refused] == [alone.id]
    assert await two.claimed(two.here) == [alone.id]
    twin = NewJob(new_job_id(), "shop.send", QUEUE, b"", unique=alone.unique)
    assert (await two.here.enqueue([twin]))[0].duplicate_of == alone.id


async def test_handles_find_a_job_that_was_moved(tmp_path: Path) -> None:
    app = Headway("moved", carriers={name: f"sqlite:///{tmp_path / name}.db" for name in ("east", "west")})

    @app.task(queue=QUEUE)
    async def send() -> None: ...

    async with app:
        handle = await send.enqueue()
        waiting = asyncio.create_task(handle.wait(20))
        await asyncio.sleep(0)
        assert (await move_waiting(app.carriers, QUEUE, "east", "west")).moved == 1
        assert await handle.status() is JobState.READY
        assert not waiting.done()
        await handle.cancel("enough")
        assert await waiting is JobState.CANCELLED
        assert (await handle.record()).reason == "enough"


@pytest.fixture
async def halfway(tmp_path: Path) -> AsyncIterator[tuple[Headway, JobHandle[None], JobRecord]]:
    """A job that left its carrier by a move that did not go on: the app, its handle, and the record to enqueue."""
    app = Headway("halfway", carriers={name: f"sqlite:///{tmp_path / name}.db" for name in ("east", "west")})

    @app.task(queue=QUEUE)
    async def send() -> None: ...

    async with app:
        handle = await send.enqueue()
        mover = app.carriers["east"].capabilities.mover
        assert mover is not None
        [record] = await mover.withdraw([handle.id], "moved to west")
        assert record is not None
        yield app, handle, record


async def test_a_job_between_two_carriers_waits(halfway: tuple[Headway, JobHandle[None], JobRecord]) -> None:
    app, handle, record = halfway
    assert await handle.status() is JobState.READY
    with pytest.raises(ResultTimeoutError, match="still ready"):
        await handle.wait(0.05)
    waiting = asyncio.create_task(handle.wait(20))
    cancelling = asyncio.create_task(handle.cancel("enough"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert not cancelling.done()
    await app.carriers["west"].enqueue([record.as_new()])
    assert await cancelling is JobState.CANCELLED
    assert await waiting is JobState.CANCELLED
    [there] = await app.carriers["west"].get([handle.id])
    assert there is not None
    assert (there.state, there.reason) == (JobState.CANCELLED, "enough")


async def test_what_an_interrupted_move_left_is_not_acted_on_but_named(
    halfway: tuple[Headway, JobHandle[None], JobRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.routing.carriers.sides._ARRIVAL_S", 0.05)
    app, handle, _ = halfway
    finish = "headway routes move mail --from east --to west"
    for act in (app.carrier.cancel, app.carrier.remove, app.carrier.retry, app.carrier.promote):
        with pytest.raises(BrokerUnavailableError, match=f"{handle.id} left carrier 'east'.*{finish}"):
            await act([handle.id])
    assert (await move_waiting(app.carriers, QUEUE, "east", "west")).resumed == 1
    assert await handle.cancel() is JobState.CANCELLED


async def test_a_job_that_arrives_behind_the_back_of_a_look_is_found(tmp_path: Path) -> None:
    app = Headway("behind", carriers={name: f"sqlite:///{tmp_path / name}.db" for name in ("east", "west")})

    @app.task(queue=QUEUE)
    async def send() -> None: ...

    async with app:
        here = await send.enqueue()
        assert (await move_waiting(app.carriers, QUEUE, "east", "west")).moved == 1
        east, west = app.carriers["east"], app.carriers["west"]
        # The id says east. It is moved back right after east was asked, before west is.
        look = east.get
        moved: list[int] = []

        async def get(ids: Sequence[JobId]) -> list[JobRecord | None]:
            found = await look(ids)
            if not moved:
                moved.append((await move_waiting({"east": east, "west": west}, QUEUE, "west", "east")).moved)
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(east, "get", get)
            assert await here.status() is JobState.READY
        assert moved == [1]


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("north", "there", "there is no carrier 'north'; the carriers are here, there"),
        ("here", "north", "there is no carrier 'north'"),
        ("here", "here", "name two carriers"),
    ],
)
async def test_carriers_that_cannot_be_are_refused(two: Two, source: str, target: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        await move_waiting(two.carriers, QUEUE, source, target)


async def test_a_carrier_that_gives_nothing_away_is_refused(two: Two) -> None:
    carriers: dict[str, Carrier] = {"here": FaultyBroker(two.here), "there": two.there}
    with pytest.raises(ConfigError, match="cannot give jobs away"):
        await move_waiting(carriers, QUEUE, "here", "there")
