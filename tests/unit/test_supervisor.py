"""What a supervisor does about its workers while it waits: for a carrier, for another worker, for last words."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, cast

import pytest

from headway.brokers.base import BrokerSettings, Heartbeat
from headway.errors import BrokerUnavailableError
from headway.job import JobId, Lease, WorkerId
from headway.runtime import supervisor as supervisor_module
from headway.runtime.control import (
    CarrierUrl,
    Claiming,
    DrainAsked,
    Goodbye,
    Hello,
    Judge,
    Judged,
    Lost,
    Stop,
    WorkerOptions,
    line,
)
from headway.runtime.deaths import Cause
from headway.runtime.member import Member
from headway.runtime.slots import Slots
from headway.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from headway.brokers.base import Carrier

LEASE_MS = 30  # heartbeats follow each other closely
JOB = JobId("0" * 20)
MAIN = CarrierUrl("main", "url")
EAST = CarrierUrl("east", "other url")


class Child:
    """A worker process that ends when it is told to."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.asked = 0  # what it is doing
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        return await asyncio.shield(self.code)

    def send_signal(self, number: int) -> None:
        if number == signal.SIGURG:
            self.asked += 1
        else:
            self.end(-number)

    def end(self, code: int) -> None:
        if not self.code.done():
            self.code.set_result(code)


class Line:
    """The supervisor's end of a control line."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.said.append(data)

    def close(self) -> None: ...


class Place:
    """A worker as its supervisor has it: a table, a line, a child."""

    served: tuple[CarrierUrl, ...] = (MAIN,)

    def __init__(self, index: int, name: str) -> None:
        self.child = Child(2_000_000_000 + index)  # a pid that nobody has
        self.line = Line()
        self.slots = Slots.create(4)
        self.reader = asyncio.StreamReader()
        self.member = Member(
            index, cast("Process", self.child), self.slots, cast("asyncio.StreamWriter", self.line)
        )
        self.reader.feed_data(line(_hello(name, self.served)) + line(Claiming()))

    @property
    def lost(self) -> bool:
        return line(Lost()) in self.line.said


def _lease(job_id: JobId, epoch: int = 1) -> Lease:
    return Lease(job_id, WorkerId("w"), epoch)


def _hello(name: str, served: Sequence[CarrierUrl] = (MAIN,)) -> Hello:
    return Hello(WorkerId(name), list(served), BrokerSettings("app"), LEASE_MS, 1.0, 0, 0, 2, [])


async def all_held(workers: Sequence[WorkerId]) -> list[Heartbeat]:
    return [Heartbeat(one, held=True) for one in workers]


class FakeCarrier:
    """Answers heartbeats as the test says, and notes who was handed back."""

    def __init__(self) -> None:
        self.on_beat: Callable[[Sequence[WorkerId]], Awaitable[list[Heartbeat]]] = all_held
        self.beats: list[list[WorkerId]] = []
        self.beaten = asyncio.Event()
        self.surrendered: dict[WorkerId, list[JobId]] = {}
        self.closed = False

    async def open(self) -> None: ...

    async def close(self) -> None:
        self.closed = True

    async def heartbeat(self, workers: Sequence[WorkerId], lease_ms: int) -> list[Heartbeat]:
        assert lease_ms == LEASE_MS
        self.beats.append(sorted(workers))
        self.beaten.set()
        return await self.on_beat(workers)

    async def surrender(self, worker: WorkerId, *, started: Sequence[JobId] | None) -> int:
        self.surrendered[worker] = list(started or ())
        return 1


class Scene:
    """A group whose processes are made of nothing."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, usual: type[Place] = Place, **options: Any
    ) -> None:
        self.carrier = FakeCarrier()
        self.east = FakeCarrier()
        self.places: list[Place] = []
        self.supervisor = Supervisor(
            WorkerOptions("app:app"),
            open_carrier=lambda url, _: cast("Carrier", self.carrier if url == MAIN.url else self.east),
            processes=2,
            **options,
        )
        self.kinds: dict[int, type[Place]] = {}  # of the next worker with this index
        self.usual = usual
        self.on_start: Callable[[], Awaitable[None]] | None = None

        async def start(index: int, *_: object) -> tuple[Member, asyncio.StreamReader]:
            if self.on_start is not None:
                on_start, self.on_start = self.on_start, None
                await on_start()
            kind = self.kinds.pop(index, self.usual)
            place = kind(index, f"w{len(self.places)}")
            self.places.append(place)
            return place.member, place.reader

        monkeypatch.setattr(Member, "start", start)
        self.task = asyncio.create_task(self.supervisor.run())

    async def end(self, place: Place) -> None:
        """Kill the worker and wait until its supervisor has done with it."""
        place.child.end(-9)
        place.reader.feed_eof()
        await _until(lambda: place.member not in self.supervisor._members)

    async def ready(self) -> None:
        async with asyncio.timeout(10):
            await self.supervisor.claiming.wait()

    async def beats(self, count: int = 2) -> None:
        """Wait for heartbeats that begin from now on; one may be under way."""
        async with asyncio.timeout(10):
            for _ in range(count):
                self.carrier.beaten.clear()
                await self.carrier.beaten.wait()

    async def close(self) -> int:
        self.supervisor.stop()
        self.supervisor.stop()
        for place in self.places:
            place.reader.feed_eof()
        async with asyncio.timeout(10):
            return await self.task


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(supervisor_module, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(supervisor_module, "_LAST_WORDS", 0.05)
    return iter([None])


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    made = Scene(monkeypatch)
    yield made
    if not made.task.done():
        assert await made.close() == 0
    assert made.carrier.closed


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a state of several tasks
            await asyncio.sleep(0.005)


async def test_a_worker_that_ends_while_its_heartbeat_is_answered_stops_no_heart(scene: Scene) -> None:
    await scene.ready()
    first, second = scene.places
    first.slots.hold(1)
    second.slots.hold(1)

    async def end_one(workers: Sequence[WorkerId]) -> list[Heartbeat]:
        scene.carrier.on_beat = all_held
        await scene.end(second)
        return [Heartbeat(one, held=one == "w0") for one in workers]

    scene.carrier.on_beat = end_one
    await scene.beats(3)
    assert scene.carrier.beats[-1] == ["w0"]
    assert not first.lost
    assert not scene.task.done()


async def test_a_worker_that_ends_while_another_is_recycled_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch, max_jobs=1)
    await scene.ready()
    first, second = scene.places

    async def end_the_other() -> None:
        await scene.end(second if first.member.leaving else first)

    scene.on_start = end_the_other
    for place in (first, second):
        place.slots.end(-1)
    await _until(lambda: len(scene.places) == 4)  # one in the place of each
    watched = scene.places[3]
    watched.slots.end(-1)
    await _until(lambda: watched.member.leaving)  # it still looks
    await scene.close()


async def test_a_process_that_somebody_asked_to_drain_makes_room_for_another(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told to stop once, however often it was asked, and its end is no crash."""
    await scene.ready()
    first = scene.places[0]
    first.slots.hold(1)
    first.slots.start(_lease(JOB), 0.0)
    first.reader.feed_data(line(DrainAsked()) * 2)
    await _until(lambda: len(scene.places) == 3)
    assert scene.places[2].member.index == first.member.index
    assert first.line.said.count(line(Stop())) == 1
    assert not first.member.ended, "it may finish what it runs"
    first.reader.feed_data(line(DrainAsked()) + line(Goodbye()))
    first.reader.feed_eof()
    first.child.end(0)
    await _until(lambda: first.member not in scene.supervisor._members)
    assert scene.carrier.surrendered == {WorkerId("w0"): []}
    assert len(scene.places) == 3
    assert "a new one starts" not in caplog.text


async def test_a_heart_that_fails_says_so_once_and_goes_on(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.ready()
    scene.places[0].slots.hold(1)

    async def fail(_: object) -> list[Heartbeat]:
        msg = "a fault of ours"
        raise LookupError(msg)

    scene.carrier.on_beat = fail
    await scene.beats(3)
    scene.carrier.on_beat = all_held
    await scene.beats(2)
    assert not scene.task.done()
    assert caplog.text.count("heart: failed, tried again until it works: LookupError") == 1


async def test_a_process_that_holds_the_line_of_a_dead_worker_delays_nothing(scene: Scene) -> None:
    """What the worker forked has its end of the line, and may keep it for ever."""
    await scene.ready()
    dead, other = scene.places
    dead.slots.hold(1)
    dead.slots.start(_lease(JOB), 0.0)
    dead.child.end(-9)  # its line stays open
    await _until(lambda: "w0" in scene.carrier.surrendered)
    assert scene.carrier.surrendered[WorkerId("w0")] == [JOB]
    await _until(lambda: len(scene.places) == 3)
    other.slots.hold(1)
    await scene.beats()
    assert scene.carrier.beats[-1] == ["w1"]


async def test_no_heartbeat_for_the_dead(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    await scene.ready()
    monkeypatch.setattr(supervisor_module, "_LAST_WORDS", 30.0)
    dead, other = scene.places
    dead.slots.hold(1)
    other.slots.hold(1)
    await scene.beats()
    assert scene.carrier.beats[-1] == ["w0", "w1"]
    dead.child.end(-9)
    await scene.beats()
    assert scene.carrier.beats[-1] == ["w1"]
    assert "w0" not in scene.carrier.surrendered
    dead.reader.feed_eof()
    await _until(lambda: "w0" in scene.carrier.surrendered)


async def test_a_job_begun_while_the_heartbeat_was_answered_is_not_interrupted(scene: Scene) -> None:
    await scene.ready()
    new, old = scene.places
    new.slots.hold(1)
    old.slots.hold(1)
    old.slots.start(_lease(JobId("1" * 20)), 0.0)

    async def begin(workers: Sequence[WorkerId]) -> list[Heartbeat]:
        scene.carrier.on_beat = all_held
        # Neither had a lease when the carrier looked. One of them claims, and begins before the answer is read.
        new.slots.start(_lease(JOB), 0.0)
        return [Heartbeat(one, held=False) for one in workers]

    scene.carrier.on_beat = begin
    await scene.beats(3)
    assert (new.lost, old.lost) == (False, True)


async def test_a_failed_heartbeat_says_nothing_of_leases(scene: Scene) -> None:
    await scene.ready()
    place, _ = scene.places
    place.slots.hold(1)
    place.slots.start(_lease(JOB), 0.0)

    async def fail(_: object) -> list[Heartbeat]:
        msg = "away"
        raise BrokerUnavailableError(msg)

    scene.carrier.on_beat = fail
    await scene.beats()
    assert not place.lost


class Both(Place):
    """A worker that serves two carriers."""

    served: tuple[CarrierUrl, ...] = (MAIN, EAST)


@pytest.fixture
async def both(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """A group whose workers serve two carriers."""
    made = Scene(monkeypatch, usual=Both)
    await made.ready()
    yield made
    assert await made.close() == 0
    assert made.carrier.closed
    assert made.east.closed


async def test_a_carrier_that_does_not_answer_delays_no_heartbeat_of_another(both: Scene) -> None:
    first, _ = both.places
    first.slots.hold(1)
    first.slots.hold(1, 1)
    stuck = asyncio.Event()

    async def wait(workers: Sequence[WorkerId]) -> list[Heartbeat]:
        await stuck.wait()
        return await all_held(workers)

    both.carrier.on_beat = wait
    await both.beats(1)
    asked = len(both.carrier.beats)
    count = len(both.east.beats)
    await _until(lambda: len(both.east.beats) > count + 3)
    assert len(both.carrier.beats) == asked
    assert both.east.beats[-1] == ["w0"]
    stuck.set()


async def test_each_carrier_is_asked_for_what_is_held_of_it(both: Scene) -> None:
    first, second = both.places
    first.slots.hold(1)
    second.slots.hold(1, 1)
    await both.beats()
    await _until(lambda: both.east.beats)
    assert (both.carrier.beats[-1], both.east.beats[-1]) == (["w0"], ["w1"])


async def test_a_lost_lease_is_told_with_its_lane(both: Scene) -> None:
    first, second = both.places
    first.slots.start(_lease(JOB), 0.0, 0)
    second.slots.start(_lease(JobId("1" * 20)), 0.0, 1)
    for place in (first, second):
        place.slots.hold(1)
        place.slots.hold(1, 1)

    async def lost(workers: Sequence[WorkerId]) -> list[Heartbeat]:
        both.east.on_beat = all_held
        return [Heartbeat(one, held=False) for one in workers]

    both.east.on_beat = lost
    await _until(lambda: line(Lost(1)) in second.line.said)
    assert not any(b"Lost" in said for said in first.line.said)  # what it runs is of the other carrier
    assert line(Lost(0)) not in second.line.said


async def test_what_a_dead_worker_held_goes_back_to_each_carrier(both: Scene) -> None:
    """Also where one is away."""
    first, _ = both.places
    first.slots.start(_lease(JOB), 0.0, 0)
    first.slots.start(_lease(JobId("1" * 20)), 0.0, 1)
    back = asyncio.Event()
    whole = both.carrier.surrender

    async def surrender(worker: WorkerId, *, started: Sequence[JobId] | None) -> int:
        if not back.is_set():
            msg = "away"
            raise BrokerUnavailableError(msg)
        return await whole(worker, started=started)

    both.carrier.surrender = surrender  # type: ignore[method-assign]
    first.child.end(-9)
    first.reader.feed_eof()
    await _until(lambda: both.east.surrendered)
    assert both.east.surrendered == {"w0": ["1" * 20]}
    assert not both.carrier.surrendered
    back.set()
    await _until(lambda: both.carrier.surrendered)
    assert both.carrier.surrendered == {"w0": [JOB]}


async def test_what_is_late_is_judged_on_its_own_carrier(both: Scene) -> None:
    first, second = both.places
    first.slots.start(_lease(JobId("1" * 20)), 0.0, 1)
    first.member.ended_for = [JobId("1" * 20)]
    first.member.kill(Cause.OVERDUE)
    first.reader.feed_eof()
    judge = line(Judge(WorkerId("w0"), [Lease(JobId("1" * 20), WorkerId("w0"), 1)], 1))
    await _until(lambda: judge in second.line.said or any(judge in one.line.said for one in both.places))
    [asked] = [one for one in both.places if judge in one.line.said]
    await _until(lambda: "w0" in both.carrier.surrendered)  # nothing there to wait for
    assert "w0" not in both.east.surrendered
    asked.reader.feed_data(line(Judged(WorkerId("w0"), 1)))
    await _until(lambda: both.east.surrendered)
    assert both.east.surrendered == {"w0": []}


async def test_carriers_that_come_with_a_reload_have_hearts_too(scene: Scene) -> None:
    await scene.ready()
    scene.usual = Both
    await scene.end(scene.places[0])
    await _until(lambda: len(scene.places) == 3)
    scene.places[2].slots.hold(1, 1)
    await _until(lambda: scene.east.beats)
    assert scene.east.beats[-1] == ["w2"]


class Silent(Place):
    """A worker that says who it is and never claims."""

    def __init__(self, index: int, name: str) -> None:
        super().__init__(index, name)
        self.reader = asyncio.StreamReader()
        self.reader.feed_data(line(_hello(name)))


async def test_a_group_is_ready_when_those_that_replace_the_early_dead_claim(scene: Scene) -> None:
    scene.kinds[1] = Silent
    await _until(lambda: len(scene.places) == 2 and scene.places[1].member.hello)
    assert not scene.supervisor.claiming.is_set()
    await scene.end(scene.places[1])
    await scene.ready()
    assert len(scene.places) == 3


async def test_a_group_that_never_claimed_can_be_stopped(scene: Scene) -> None:
    scene.kinds[0] = scene.kinds[1] = Silent
    await _until(lambda: len(scene.places) == 2 and scene.places[1].member.hello)
    await asyncio.sleep(0)  # the supervisor waits for what they never say
    assert await scene.close() == 0
    assert not scene.supervisor.claiming.is_set()
