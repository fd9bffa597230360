"""Control documents: compare-and-set, history, and the lease of whoever steers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from headway.control import KEPT_VERSIONS, MAX_BODY, Fence
from headway.errors import BrokerRefusedError, ConfigError
from headway.job import JobState
from tests.conformance.scene import SECOND

if TYPE_CHECKING:
    from headway.brokers.base import ControlStore
    from headway.testing import FakeClock
    from tests.conformance.scene import Scene
    from tests.conformance.store import Store

pytestmark = pytest.mark.needs("control")


@pytest.fixture
def control(scene: Scene) -> ControlStore:
    """Give the test the carrier as a control store."""
    control = scene.carrier.capabilities.control
    assert control is not None
    return control


async def _fence(control: ControlStore, name: str = "c", holder: str = "one", ttl_ms: int = SECOND) -> Fence:
    fence = await control.hold_control(name, holder, ttl_ms)
    assert fence is not None
    return fence


async def test_a_document_is_read_as_it_was_written(control: ControlStore, clock: FakeClock) -> None:
    written = clock.now_ms()
    body = bytes(range(256)) + b"|\r\n"
    assert await control.write_control("routes", body, expected=0) == 1
    clock.advance(1500)
    found = await control.read_control("routes")
    assert found is not None
    assert (found.name, found.version, found.body) == ("routes", 1, body)
    assert (found.changed_ms, found.age_ms) == (written, 1500)


async def test_what_was_never_written_is_not_there(control: ControlStore) -> None:
    await control.write_control("other", b"x", expected=0)
    assert await control.read_control("routes") is None
    assert await control.control_history("routes") == []


async def test_a_reader_is_told_only_what_it_has_not(control: ControlStore) -> None:
    await control.write_control("routes", b"1", expected=0)
    assert await control.read_control("routes", newer_than=1) is None
    await control.write_control("routes", b"2", expected=1)
    found = await control.read_control("routes", newer_than=1)
    assert found is not None
    assert (found.version, found.body) == (2, b"2")
    assert await control.read_control("routes", newer_than=2) is None


async def test_a_reader_is_told_of_a_store_that_was_put_back(control: ControlStore) -> None:
    """What the store has counts: it may have been restored from a backup since the reader looked."""
    await control.write_control("routes", b"1", expected=0)
    found = await control.read_control("routes", newer_than=7)
    assert found is not None
    assert found.version == 1


@pytest.mark.parametrize("expected", [0, 1, 3, -1])
async def test_another_version_than_expected_refuses_the_write(control: ControlStore, expected: int) -> None:
    await control.write_control("routes", b"1", expected=0)
    await control.write_control("routes", b"2", expected=1)
    assert await control.write_control("routes", b"3", expected=expected) is None
    history = await control.control_history("routes")
    assert [(one.version, one.body) for one in history] == [(2, b"2"), (1, b"1")]


async def test_of_two_clients_that_race_one_wins_each_version(control: ControlStore, store: Store) -> None:
    async with store.broker() as opened:
        other = cast("ControlStore", opened)
        for version in range(20):
            answers = await asyncio.gather(
                *(
                    (control, other)[number % 2].write_control("routes", b"%d" % number, expected=version)
                    for number in range(6)
                )
            )
            assert sorted(answers, key=lambda answer: answer or 0) == [None] * 5 + [version + 1]
            winner = b"%d" % answers.index(version + 1)
            found = await control.read_control("routes")
            assert found is not None
            assert found.body == winner


async def test_changes_made_by_compare_and_set_add_up(control: ControlStore, store: Store) -> None:
    async def add(writer: ControlStore) -> None:
        while True:
            found = await writer.read_control("sum")
            version, value = (0, 0) if found is None else (found.version, int(found.body))
            if await writer.write_control("sum", b"%d" % (value + 1), expected=version) is not None:
                return

    async with store.broker() as opened:
        other = cast("ControlStore", opened)
        await asyncio.gather(*(add((control, other)[number % 2]) for number in range(20)))
    found = await control.read_control("sum")
    assert found is not None
    assert (found.version, found.body) == (20, b"20")


async def test_the_history_holds_the_last_hundred_versions(control: ControlStore) -> None:
    for version in range(KEPT_VERSIONS + 5):
        await control.write_control("routes", b"%d" % (version + 1), expected=version)
    history = await control.control_history("routes")
    assert [one.version for one in history] == list(range(KEPT_VERSIONS + 5, 5, -1))
    assert [one.body for one in history] == [b"%d" % one.version for one in history]
    assert [one.version for one in await control.control_history("routes", 2)] == [105, 104]
    assert len(await control.control_history("routes", 10_000)) == KEPT_VERSIONS


async def test_a_writer_may_have_fewer_versions_kept(control: ControlStore) -> None:
    for version in range(4):
        await control.write_control("progress", b"%d" % version, expected=version, keep=1)
    assert [(one.version, one.body) for one in await control.control_history("progress")] == [(4, b"3")]
    assert await control.write_control("progress", b"again", expected=4, keep=2) == 5
    assert [one.version for one in await control.control_history("progress")] == [5, 4]
    with pytest.raises(ConfigError, match="progress"):
        await control.write_control("progress", b"none", expected=5, keep=0)


async def test_a_body_has_a_bound(control: ControlStore) -> None:
    with pytest.raises(BrokerRefusedError, match=r"'routes'.*262145"):
        await control.write_control("routes", b"x" * (MAX_BODY + 1), expected=0)
    assert await control.read_control("routes") is None
    assert await control.write_control("routes", b"x" * MAX_BODY, expected=0) == 1
    found = await control.read_control("routes")
    assert found is not None
    assert len(found.body) == MAX_BODY


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "\ud800", "a\x00b"])
async def test_a_name_that_cannot_be_one_is_refused(control: ControlStore, name: str) -> None:
    calls = [
        control.read_control(name),
        control.write_control(name, b"", expected=0),
        control.control_history(name),
        control.hold_control(name, "one", SECOND),
        control.hold_control("c", name, SECOND),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match="200 characters"):
            await call


async def test_bounds_of_leases_and_histories(control: ControlStore) -> None:
    with pytest.raises(ConfigError, match=r"'c'.*1 ms"):
        await control.hold_control("c", "one", 0)
    with pytest.raises(ConfigError, match=r"'c'.*limit"):
        await control.control_history("c", 0)


async def test_names_may_hold_anything_that_can_be_printed(control: ControlStore) -> None:
    for number, name in enumerate(("a:b", "a|b", "ünï cödé", "held", "*?[x]", "{b}")):
        assert await control.write_control(name, b"%d" % number, expected=0) == 1
        fence = await _fence(control, name, "ho|der 1")
        assert (fence.name, fence.holder, fence.token) == (name, "ho|der 1", 1)
        found = await control.read_control(name)
        assert found is not None
        assert found.body == b"%d" % number


async def test_one_holds_the_lease(control: ControlStore, clock: FakeClock) -> None:
    first = await _fence(control)
    assert await control.hold_control("c", "two", SECOND) is None
    assert await control.hold_control("other", "two", SECOND) is not None
    clock.advance(SECOND - 1)
    assert await control.hold_control("c", "two", SECOND) is None
    clock.advance(1)
    second = await _fence(control, holder="two")
    assert second.token > first.token
    assert await control.hold_control("c", "one", SECOND) is None


async def test_the_holder_extends_its_lease(control: ControlStore, clock: FakeClock) -> None:
    first = await _fence(control)
    for _ in range(3):
        clock.advance(SECOND - 1)
        assert await _fence(control) == first
    clock.advance(SECOND - 1)
    assert await control.hold_control("c", "two", SECOND) is None


async def test_a_lease_that_ended_is_another_one_when_it_is_taken_again(
    control: ControlStore, clock: FakeClock
) -> None:
    """What its holder did under the first may have been overtaken meanwhile."""
    first = await _fence(control)
    clock.advance(SECOND)
    again = await _fence(control)
    assert again.token > first.token
    assert await control.write_control("d", b"x", expected=0, fence=first) is None
    assert await control.write_control("d", b"x", expected=0, fence=again) == 1


async def test_a_write_under_a_held_lease_is_applied(control: ControlStore) -> None:
    fence = await _fence(control)
    assert await control.write_control("c", b"x", expected=0, fence=fence) == 1
    assert await control.write_control("another", b"x", expected=0, fence=fence) == 1
    assert await control.write_control("c", b"x", expected=0, fence=fence) is None


@pytest.mark.parametrize("ended", ["expired", "taken over", "released", "never given"])
async def test_a_write_under_a_stale_fence_is_refused(
    control: ControlStore, clock: FakeClock, ended: str
) -> None:
    fence = await _fence(control)
    match ended:
        case "expired":
            clock.advance(SECOND)
        case "taken over":
            clock.advance(SECOND)
            await _fence(control, holder="two")
        case "released":
            await control.release_control(fence)
        case _:
            fence = Fence("c", "two", fence.token)
    assert await control.write_control("c", b"x", expected=0, fence=fence) is None
    assert await control.read_control("c") is None


async def test_a_released_lease_is_free_at_once(control: ControlStore) -> None:
    first = await _fence(control)
    await control.release_control(first)
    second = await _fence(control, holder="two")
    assert second.token > first.token
    await control.release_control(first)  # late
    assert await control.hold_control("c", "one", SECOND) is None
    await control.release_control(second)
    await control.release_control(second)
    third = await _fence(control)
    assert third.token > second.token


async def test_of_many_that_want_a_lease_one_gets_it(control: ControlStore, store: Store) -> None:
    async with store.broker() as opened:
        other = cast("ControlStore", opened)
        for number in range(10):
            name = f"c{number}"
            fences = await asyncio.gather(
                *((control, other)[one % 2].hold_control(name, f"h{one}", SECOND) for one in range(8))
            )
            assert sum(fence is not None for fence in fences) == 1


async def test_documents_are_seen_by_their_app_alone(control: ControlStore, store: Store) -> None:
    await control.write_control("routes", b"x", expected=0)
    await _fence(control)
    async with store.broker(namespace=store.namespace + "2") as opened:
        other = cast("ControlStore", opened)
        assert await other.read_control("routes") is None
        assert await other.hold_control("c", "two", SECOND) is not None


async def test_documents_outlast_the_jobs(control: ControlStore, scene: Scene) -> None:
    await control.write_control("routes", b"x", expected=0)
    await scene.put()
    await scene.carrier.drain("q")
    await scene.carrier.clean(JobState.CANCELLED, older_than_ms=0)
    await scene.carrier.tend()
    assert await control.read_control("routes") is not None
