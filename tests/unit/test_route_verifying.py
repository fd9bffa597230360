"""`verify` finds what is wrong with the jobs of several carriers, and nothing else, while jobs go on moving."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

import pytest
from msgspec.structs import replace

from headway.brokers.base import BrokerSettings, QueueWant, Settlement
from headway.brokers.sqlite.broker import SqliteBroker
from headway.codec import Codec
from headway.job import NewJob, Succeeded, WorkerId, new_job_id
from headway.routing import verifying
from headway.routing.carriers.sides import MOVED_TO
from headway.routing.declared import Declared
from headway.routing.moving import move_waiting
from headway.routing.routes import route_of
from headway.routing.table import RouteTable
from headway.routing.verifying import Misplaced, Stranded, Unrouted, verify
from headway.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from headway.brokers.base import Carrier, Store
    from headway.job import JobId, JobRecord

KNOWN = Declared(("east", "west", "old"))
BOTH = RouteTable(1, routes={"q": route_of("q", {"east": 50, "west": 50})})


@pytest.fixture
async def carriers(tmp_path: Path) -> AsyncIterator[dict[str, Carrier]]:
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(
                SqliteBroker(f"sqlite:///{tmp_path}/{name}.db", BrokerSettings("shop"), clock=FakeClock())
            )
            for name in KNOWN.carriers
        }


def jobs(count: int, queue: str = "q") -> list[NewJob]:
    payload = Codec().encode_call("t", (), {})
    return [NewJob(new_job_id(), "t", queue, payload) for _ in range(count)]


async def withdraw(carrier: Carrier, some: Sequence[NewJob]) -> None:
    """Do the first half of a move to the west."""
    mover = carrier.capabilities.mover
    assert mover is not None
    assert None not in await mover.withdraw([job.id for job in some], f"{MOVED_TO}west")


async def test_jobs_on_one_carrier_each_are_sound(
    carriers: dict[str, Carrier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "_PAGE", 3)
    await carriers["east"].enqueue(jobs(7))
    await carriers["west"].enqueue(jobs(4))
    told: list[int] = []
    found = await verify(carriers, KNOWN, BOTH, on_progress=told.append)
    assert (found.sound, found.jobs, found.traces) == (True, 11, 0)
    assert told == sorted(told)
    assert (told[0], told[-1], len(told) >= 5) == (3, 11, True)
    assert {name: one["q"].counts for name, one in found.counts.items() if one} == {
        "east": {"ready": 7},
        "west": {"ready": 4},
    }


async def test_a_job_on_two_carriers_is_named_with_both(
    carriers: dict[str, Carrier], monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = jobs(3)
    await carriers["east"].enqueue([*twice, *jobs(2)])
    await carriers["west"].enqueue([*twice, *jobs(2)])
    found = await verify(carriers, KNOWN, BOTH)
    assert not found.sound
    assert sorted(found.doubles, key=lambda one: one.id) == [
        Misplaced(job.id, ("east", "west")) for job in twice
    ]
    monkeypatch.setattr(verifying, "NAMED", 2)
    found = await verify(carriers, KNOWN, BOTH)
    assert (len(found.doubles), found.more_doubles) == (2, 1)


async def test_what_was_moved_leaves_a_trace_that_is_no_second_job(carriers: dict[str, Carrier]) -> None:
    moved, lost = jobs(2)
    await carriers["east"].enqueue([moved, lost])
    await withdraw(carriers["east"], [moved, lost])
    await carriers["west"].enqueue([moved])
    found = await verify(carriers, KNOWN, BOTH)
    assert (found.jobs, found.traces, found.doubles) == (1, 2, [])
    assert found.gone == [Misplaced(lost.id, ("east",))]
    assert not found.sound
    await carriers["east"].remove([lost.id])
    assert (await verify(carriers, KNOWN, BOTH)).sound


class Moving:
    """Moves its jobs to another carrier while they are looked at: between the list and the question for them."""

    def __init__(self, carrier: Carrier, other: Carrier, job: NewJob) -> None:
        self._carrier, self._other, self._job = carrier, other, job
        self._moved = False

    async def get(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        if not self._moved:
            self._moved = True
            await withdraw(self._other, [self._job])
            await self._carrier.enqueue([self._job])
        return await self._carrier.get(ids)

    def __getattr__(self, name: str) -> object:
        return getattr(self._carrier, name)


async def test_a_job_that_is_moved_meanwhile_is_not_taken_for_two(carriers: dict[str, Carrier]) -> None:
    (job,) = jobs(1)
    await carriers["east"].enqueue([job])
    west = cast("Store", Moving(carriers["west"], carriers["east"], job))
    found = await verify({**carriers, "west": west}, KNOWN, BOTH)
    assert found.sound
    assert [record.reason for record in await carriers["east"].get([job.id]) if record] == [f"{MOVED_TO}west"]


async def test_jobs_that_wait_where_no_route_leads_and_nobody_serves(carriers: dict[str, Carrier]) -> None:
    await carriers["old"].enqueue(jobs(3))
    await carriers["old"].enqueue([replace(jobs(1)[0], due_ms=FakeClock().now_ms() + 1000)])
    await carriers["west"].enqueue(jobs(1, "unrouted"))
    found = await verify(carriers, KNOWN, BOTH)
    assert found.stranded == [Stranded("unrouted", "west", 1), Stranded("q", "old", 4)]
    assert not found.sound
    await carriers["old"].claim(
        [QueueWant("q", 1)], worker=WorkerId("w"), limit=1, lease_ms=10_000
    )  # somebody is there
    assert (await verify(carriers, KNOWN, BOTH)).stranded == [Stranded("unrouted", "west", 1)]


async def test_what_has_ended_waits_for_nobody(carriers: dict[str, Carrier]) -> None:
    await carriers["old"].enqueue(jobs(1))
    claimed = await carriers["old"].claim([QueueWant("q", 1)], worker=WorkerId("w"), limit=1, lease_ms=10_000)
    await carriers["old"].settle([Settlement(claimed.deliveries[0].lease, Succeeded(b""))])
    assert (await verify(carriers, KNOWN, BOTH)).sound


async def test_a_route_to_a_carrier_that_is_not_there_is_named(carriers: dict[str, Carrier]) -> None:
    table = RouteTable(1, routes={"q": route_of("q", {"east": 50, "cloud": 50})})
    found = await verify(carriers, KNOWN, table)
    assert found.unrouted == [Unrouted("q", ("cloud",))]
    assert not found.sound


async def test_a_move_is_sound_when_it_has_ended_and_not_when_it_was_interrupted(
    carriers: dict[str, Carrier],
) -> None:
    await carriers["east"].enqueue(moved := jobs(3))
    await withdraw(carriers["east"], moved[:1])
    assert (await verify(carriers, KNOWN, BOTH)).gone == [Misplaced(moved[0].id, ("east",))]
    await move_waiting(carriers, "q", "east", "west")
    found = await verify(carriers, KNOWN, BOTH)
    assert (found.sound, found.jobs, found.traces) == (True, 3, 0)
