"""Live events: what a reader is told, and in what order, whatever it saw before."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Self, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url
from headway.events import Event, EventKind
from headway.job import JobId
from headway.server.access.caller import Scope
from headway.server.live import ring as ring_module
from headway.server.live.board import Topic
from headway.server.live.places import read_places, write_places
from headway.server.live.ring import Ring
from headway.server.live.stream import Stream, Wanted
from headway.server.services.problems import MalformedError
from tests.unit.server_scene import Scene, migrated, served, shop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from headway.server.live.live import Live

DEADLINE = 15.0


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with served(shop(tmp_path)) as scene:
        yield scene


def live_of(scene: Scene) -> Live:
    assert scene.state.live is not None
    return scene.state.live


class Reading:
    """Reads a stream, block by block."""

    def __init__(self, scene: Scene, wanted: Wanted | None = None, last: str | None = None) -> None:
        live = live_of(scene)
        places = None if last is None else read_places(last)
        self._chunks = cast(
            "AsyncGenerator[bytes]", Stream(live.hub, live.board, wanted or Wanted(), places).chunks()
        )
        self._blocks: list[str] = []
        self.last = last or ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._chunks.aclose()

    async def next(self) -> tuple[str, Any]:
        async with asyncio.timeout(DEADLINE):
            while True:
                while not self._blocks:
                    self._blocks = (await anext(self._chunks)).decode().split("\n\n")[:-1]
                lines = [line.split(": ", 1) for line in self._blocks.pop(0).splitlines() if line[:1] != ":"]
                fields = dict(lines)
                self.last = fields.get("id", self.last)
                if "event" in fields:
                    return fields["event"], json.loads(fields["data"])

    async def until(self, kind: str) -> Any:
        while True:
            name, data = await self.next()
            if name == kind:
                return data


async def test_a_reader_hears_of_what_comes_behind_its_greeting(scene: Scene) -> None:
    async with Reading(scene) as reading:
        hello = await reading.until("hello")
        assert hello == {"app": "shop", "carriers": ["main"], "silent": []}
        job = await scene.app.find_task("welcome").enqueue(1)
        told = await reading.until("job")
        assert (told["kind"], told["job"], told["queue"], told["carrier"]) == (
            "enqueued",
            job.id,
            "email",
            "main",
        )


async def test_a_reader_goes_on_behind_its_last_event_also_in_another_server(tmp_path: Path) -> None:
    app = shop(tmp_path)
    task = app.find_task("welcome")
    async with served(app) as scene, Reading(scene) as reading:
        await reading.until("hello")
        first = await task.enqueue(1)
        assert (await reading.until("job"))["job"] == first.id
        last = reading.last
        second = await task.enqueue(2)
        third = await task.enqueue(3)
    async with served(app) as scene, Reading(scene, last=last) as reading:
        assert [(await reading.until("job"))["job"] for _ in range(2)] == [second.id, third.id]
        fourth = await task.enqueue(4)
        assert (await reading.until("job"))["job"] == fourth.id


async def test_what_is_not_in_memory_any_more_is_read_from_the_carrier(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    live_of(scene).hub.ring._kept = 3
    task = scene.app.find_task("welcome")
    async with Reading(scene) as reading:
        await reading.until("hello")
        begin = reading.last
    jobs = [await task.enqueue(n) for n in range(10)]
    async with asyncio.timeout(DEADLINE):
        while live_of(scene).hub.ring.end < 10:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    async with Reading(scene, last=begin) as reading:
        assert [(await reading.until("job"))["job"] for _ in jobs] == [job.id for job in jobs]
        after = await task.enqueue(99)
        assert (await reading.until("job"))["job"] == after.id


async def test_who_was_away_while_nobody_watched_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = shop(tmp_path)
    async with served(app) as scene, Reading(scene) as reading:
        await reading.until("hello")
        last = reading.last
    monkeypatch.setattr("headway.server.live.hub.PAUSE_MS", -1)
    async with served(app) as scene, Reading(scene, last=last) as reading:
        missed = await reading.until("missed")
        assert "nobody watched" in missed["why"]
        job = await app.find_task("welcome").enqueue(1)
        assert (await reading.until("job"))["job"] == job.id


async def test_who_was_away_for_longer_than_events_are_kept_is_told(scene: Scene) -> None:
    task = scene.app.find_task("welcome")
    async with Reading(scene) as reading:
        await reading.until("hello")
        await task.enqueue(1)
        await reading.until("job")
        instant, _, _ = reading.last.partition(".")
    gone = write_places(int(instant), {"main": "999999"})  # of a file that is not there any more
    async with Reading(scene, last=gone) as reading:
        assert (await reading.until("missed"))["carrier"] == "main"
        job = await task.enqueue(2)
        assert (await reading.until("job"))["job"] == job.id


async def test_a_reader_that_is_too_slow_is_cut(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = live_of(scene).hub.ring
    ring._kept = 5
    async with Reading(scene) as reading:
        await reading.until("hello")
        for n in range(20):
            ring.add("main", event(n), 1)
        assert (await reading.until("cut"))["why"].startswith("this reader is too slow")
        with pytest.raises(StopAsyncIteration):
            await reading.next()


async def test_only_what_is_wanted_is_told(scene: Scene) -> None:
    wanted = Wanted(queues=frozenset({"email"}), kinds=frozenset({EventKind.CANCELLED}))
    async with (
        Reading(scene, wanted) as mail,
        Reading(scene, Wanted(scope=Scope(queues=("default",)))) as bound,
    ):
        await mail.until("hello")
        await bound.until("hello")
        job = await scene.app.find_task("welcome").enqueue(1)
        other = await scene.app.find_task("report").enqueue("x")
        await job.cancel()
        assert (await mail.until("job"))["job"] == job.id
        assert (await bound.until("job"))["job"] == other.id


async def test_queues_are_told_as_they_are_and_again_with_each_change(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.server.live.board._EVERY", 0.02)
    wanted = Wanted(topics=frozenset({Topic.QUEUES}), queues=frozenset({"email"}))
    async with Reading(scene, wanted) as reading:
        first = await reading.until("queue")
        assert (first["name"], first["counts"]["ready"]) == ("email", 0)
        await scene.app.find_task("welcome").enqueue(1)
        assert (await reading.until("queue"))["counts"]["ready"] == 1
        await scene.app.queues.pause("email")
        assert (await reading.until("queue"))["paused"]


async def test_a_migration_is_told_as_it_is_and_again_when_it_got_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.server.live.board._EVERY", 0.02)
    kept = await migrated(scene.app)
    async with Reading(scene, Wanted(topics=frozenset({Topic.MIGRATIONS}))) as reading:
        first = await reading.until("migration")
        assert (first["id"], first["moved"], first["state"]) == (kept.id, 7, "running")
        await migrated(scene.app, rows=kept.rows[1:])
        assert (await reading.until("migration"))["moved"] == 2


async def test_a_quiet_stream_says_that_it_lives_and_how_far_it_is(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.server.live.stream.KEEP_ALIVE", 0.05)
    live = live_of(scene)
    async with aclosing(cast("Any", Stream(live.hub, live.board, Wanted(), None).chunks())) as chunks:
        async with asyncio.timeout(DEADLINE):
            async for chunk in chunks:
                if chunk.startswith(b": keep-alive"):
                    assert read_places(chunk.decode().split("id: ")[1].strip()).cursors.keys() == {"main"}
                    break


async def test_the_events_of_several_carriers_are_one_stream(tmp_path: Path) -> None:
    stores = {
        name: from_url(f"sqlite:///{tmp_path}/{name}.db", BrokerSettings("shop")) for name in ("east", "west")
    }
    app = shop(tmp_path, stores)
    task = app.find_task("welcome")
    async with served(app) as scene:
        async with Reading(scene) as reading:
            assert (await reading.until("hello"))["carriers"] == ["east", "west"]
            places = [reading.last]
            seen = []
            for n in range(6):
                await stores[("east", "west")[n % 2]].enqueue([task.job(n).new])
                seen.append(await reading.until("job"))
                places.append(reading.last)
        for number, last in enumerate(places):
            async with Reading(scene, last=last) as again:
                rest = [await again.until("job") for _ in seen[number:]]
                assert [one["job"] for one in rest] == [one["job"] for one in seen[number:]]


async def test_wrong_questions_are_refused(scene: Scene) -> None:
    await scene.key("admin", name="boss")
    reader = scene.client(await scene.key("read", name="all"))
    for bad in ("topic=weather", "kind=exploded", "job=7", "colour=red", "after=nonsense"):
        assert (bad, (await reader.get(f"/v1/events?{bad}")).status_code) == (bad, 400)
    answer = await reader.get("/v1/events", headers={"last-event-id": "x.y"})
    assert answer.json()["type"] == "urn:headway:problem:malformed"
    bound = scene.client(await scene.key("read", Scope(tasks=("welcome",)), name="task"))
    assert (await bound.get("/v1/events")).status_code == 403
    queue = scene.client(await scene.key("read", Scope(queues=("email",)), name="queue"))
    assert (await queue.get("/v1/events?topic=workers")).status_code == 403


def event(number: int, cursor: str | None = None) -> Event:
    return Event(cursor or f"c{number}", EventKind.ENQUEUED, JobId("0" * 20), number, "q")


@given(
    st.integers(0, 10**14),
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True), st.text(min_size=1, max_size=20)
    ),
)
def test_places_are_read_as_they_were_written(at_ms: int, cursors: dict[str, str]) -> None:
    try:
        text = write_places(at_ms, cursors)
    except UnicodeEncodeError:  # half of a surrogate pair: no carrier has such a cursor
        return
    assert "\n" not in text
    found = read_places(text)
    assert (found.at_ms, found.cursors) == (at_ms, cursors)


@given(st.text(max_size=60))
def test_any_other_text_is_refused(text: str) -> None:
    with suppress(MalformedError):
        read_places(text)


@given(st.lists(st.sampled_from(["a", "b"]), max_size=60), st.integers(1, 20))
def test_a_ring_knows_each_frame_that_it_has_and_the_place_before(carriers: list[str], kept: int) -> None:
    ring = Ring(kept)
    ring.begin("a", "a0")
    ring.begin("b", "b0")
    for number, carrier in enumerate(carriers, start=1):
        ring.add(carrier, event(number, f"{carrier}{number}"), 1)
    assert ring.end == len(carriers)
    here = [n for n in range(1, len(carriers) + 1) if n > ring.start]
    assert len(here) == min(kept, len(carriers))
    for n, carrier in enumerate(carriers, start=1):
        found = ring.number_of(carrier, f"{carrier}{n}")
        if n in here:
            assert found == n
            assert [one.number for one in ring.behind(n)] == [one for one in here if one > n]
        else:  # all of its carrier that follows is here, or it is not known
            later = [m for m in range(n + 1, len(carriers) + 1) if carriers[m - 1] == carrier]
            assert found == (ring.start if set(later) <= set(here) else None)
    assert ring_module.STEP > 60
