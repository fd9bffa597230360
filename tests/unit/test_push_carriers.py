"""A receiver of several push carriers: each request reaches the one whose it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from headway import Headway
from headway.brokers.base import BrokerSettings, PushResponse
from headway.brokers.url import from_url
from headway.errors import BrokerUnavailableError, ConfigError
from headway.job import Released, Succeeded, mark_of, new_job_id
from headway.push import receiver
from headway.push.intake import MAX_BODY
from tests.unit.push_scene import Call, FakePush, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from headway.brokers.base import BodySums, Store
    from headway.push import Receiver


class Sums:
    """What a body is proven by; it keeps how much came."""

    def __init__(self) -> None:
        self.size = 0

    def update(self, part: bytes) -> None:
        self.size += len(part)


class Summing(FakePush):
    """A carrier whose senders sign their bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.made = Sums()

    def sums(self, headers: Mapping[str, str]) -> BodySums:  # type: ignore[override]
        del headers
        return self.made


class Scene:
    """An app with two push carriers and one with workers."""

    def __init__(self, folder: Path, kind: type[FakePush] = FakePush) -> None:
        self.a, self.b = kind(), kind()
        self.file: Store = from_url(f"sqlite:///{folder}/jobs.db", BrokerSettings("shop"))
        self.gate = asyncio.Event()
        carriers = {"a": cast("Store", self.a), "file": self.file, "b": cast("Store", self.b)}
        self.app = Headway("shop", carrier=carriers)

        @self.app.task(name="short")
        async def short() -> None: ...

        @self.app.task(name="long")
        async def long() -> None:
            await self.gate.wait()

    def receiving(self, **options: Any) -> AbstractAsyncContextManager[Receiver]:
        return receiver(self.app, handle_sigterm=False, **options)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.gate.set()


def sent_by(carrier: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-headway-job", (new_job_id()[:-1] + mark_of(carrier)).encode())]


async def test_a_job_goes_to_the_carrier_that_its_id_names(scene: Scene) -> None:
    async with scene.receiving() as pushed:
        for name in ("a", "b"):
            assert (await post(pushed, "short", headers=sent_by(name))).status == 200
    assert (len(scene.a.requests), len(scene.b.requests)) == (1, 1)
    assert scene.a.outcomes["short"] == scene.b.outcomes["short"]
    assert isinstance(scene.b.the_outcome("short"), Succeeded)


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_what_one_refuses_the_next_is_asked(scene: Scene, status: int) -> None:
    scene.a.instead = PushResponse(status)
    async with scene.receiving() as pushed:
        assert (await post(pushed, "short")).status == 200
    assert list(scene.b.outcomes) == ["short"]


async def test_what_all_refuse_is_refused(scene: Scene) -> None:
    scene.a.instead = PushResponse(401)
    scene.b.instead = PushResponse(404)
    async with scene.receiving() as pushed:
        assert (await post(pushed, "short", headers=sent_by("b"))).status == 404
        scene.a.refusal = scene.b.refusal = PushResponse(403)
        assert (await post(pushed, "short")).status == 403
    assert len(scene.a.requests) == len(scene.b.requests) == 1  # those of the first one


async def test_who_is_refused_by_its_headers_is_not_asked_with_the_body(scene: Scene) -> None:
    scene.b.refusal = PushResponse(401)
    async with scene.receiving() as pushed:
        assert (await post(pushed, "short", headers=sent_by("b"))).status == 200
    assert not scene.b.requests
    assert list(scene.a.outcomes) == ["short"]


async def test_a_carrier_that_cannot_tell_keeps_its_request(scene: Scene) -> None:
    """Another one could take the job for its own, which the first has in its guard."""
    scene.b.receive_errors.append(BrokerUnavailableError("away"))
    async with scene.receiving() as pushed:
        assert (await post(pushed, "short", headers=sent_by("b"))).status == 503
        assert not scene.a.requests
        assert (await post(pushed, "short", headers=sent_by("a"))).status == 200


async def test_leases_are_renewed_and_jobs_handed_back_where_they_came_from(scene: Scene) -> None:
    async with scene.receiving(lease=0.1, grace=0.2) as pushed:
        calls = [Call(pushed, b"long", headers=sent_by(name)).start() for name in ("a", "b")]
        async with asyncio.timeout(20):
            await scene.a.extended_once.wait()
            await scene.b.extended_once.wait()
    assert [(await call.answer()).status for call in calls] == [409, 409]
    for one in (scene.a, scene.b):
        assert {job for some in one.extended for job in some} == set(one.handed_out)
        assert isinstance(one.the_outcome("long"), Released)


async def test_a_receiver_serves_the_carriers_that_are_named(scene: Scene) -> None:
    async with scene.receiving(carriers=["b"]) as pushed:
        assert (await post(pushed, "short", headers=sent_by("a"))).status == 200
    assert not scene.a.requests
    assert not scene.a.admitted
    assert list(scene.b.outcomes) == ["short"]


@pytest.mark.parametrize(
    ("names", "said"), [(["file"], r"`headway worker --carriers file`"), (["c"], "it has a, file, b")]
)
async def test_names_of_carriers_are_checked_before_anything_is_opened(
    scene: Scene, names: list[str], said: str
) -> None:
    pushed = receiver(scene.app, carriers=names, handle_sigterm=False)
    with pytest.raises(ConfigError, match=said):
        await pushed.open()
    assert scene.a.opened == 0


async def test_a_body_that_is_cut_off_is_proven_to_each_by_its_own_sums(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Summing)
    scene.a.instead = PushResponse(401)
    scene.b.instead = PushResponse(200)
    size = MAX_BODY + 1000
    async with scene.receiving() as pushed:
        assert (await post(pushed, b"x" * size)).status == 200
    for one in (scene.a, scene.b):
        assert isinstance(one, Summing)
        [request] = one.requests
        assert request.sums is one.made
        assert one.made.size == size


async def test_the_end_names_the_guard_of_each(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with scene.receiving() as pushed:
        await post(pushed, "short")
    assert "the guard of carrier a took 10 commands" in caplog.text
    assert "the guard of carrier b took 10 commands" in caplog.text
