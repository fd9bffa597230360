"""What stays behind in a Redis, of whatever was done and of workers that died without a word: nothing that grows."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from headway.brokers.base import BrokerSettings, QueueWant, Settlement
from headway.brokers.redis.broker import RedisBroker
from headway.brokers.redis.session import Kind
from headway.job import Failed, JobState, WorkerId
from headway.testing.clock import FakeClock
from tests.integration.redis_app import LEASE_MS, broker, claim, job, succeed
from tests.integration.redis_verbs import FAR, IDLE, SCHEDULE, VERBS, App

if TYPE_CHECKING:
    from headway.job import Delivery, JobId

# What may be left when no job is known any more and no worker lives: how much of it at most, and why.
LEFT: Final = {
    "kinds": (
        5,
        "a number for each queue, task and priority that was used, and their generation; 10,000 in the end",
    ),
    "kindof": (5, "the same the other way round, and the number given last"),
    "done:base": (1, "a counter: positions of pages stay what they are"),
    "done:stale": (1, "a counter"),
    "fire": (1, "the last fire time of each schedule: it is not to fire again for it"),
    "sch": (1, "declared schedules"),
    "sch:made": (1, "schedules made at run time, and for a month what is left of deleted ones"),
    "sch:gone": (1, "which of them were deleted, and when"),
    "sch:paused": (1, "a schedule that was paused stays so"),
    "control": (1, "who held a lease on a control document: the next token is higher"),
    "control:routes": (100, "the last versions of a control document"),
    "ev": (200_000, "the last events, about 100,000: while somebody watches"),
}
_SIZES: Final = {
    b"hash": "HLEN",
    b"list": "LLEN",
    b"set": "SCARD",
    b"zset": "ZCARD",
    b"stream": "XLEN",
}


async def _keys(carrier: RedisBroker) -> set[str]:
    start = carrier._session.prefix
    keys = await carrier._session.command("KEYS", f"{start.replace('{', '[{]')}*")
    return {key.decode().removeprefix(start) for key in keys}


async def test_workers_that_are_gone_leave_no_field_behind(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        for number in range(150):
            worker = WorkerId(f"killed-{number}")
            carrier._claims.begin_hands(worker)  # as one that takes jobs by message
            await carrier.claim([QueueWant("q", 1)], worker=worker, limit=1, lease_ms=LEASE_MS)
        assert await carrier._session.command("HLEN", f"{carrier._session.prefix}hand") == 150
        for _ in range(3):
            await carrier.tend()
        await carrier.enqueue([job()])
        await succeed(carrier, await claim(carrier))
        await carrier.tend()
        # Each with a reason: the job and its record, its place in the order of ends, its count, the kinds.
        assert await _keys(carrier) <= {
            "j",
            "done",
            "done:S",
            "n",
            "kinds",
            "kindof",
            "watched",
            "at",
            "idle",
            "deputy",
        }


async def test_a_worker_that_listens_is_not_forgotten(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        worker = WorkerId("alive")
        signals = carrier.signals(worker, handed=True)
        await anext(signals)
        await carrier.claim([QueueWant("q", 1)], worker=worker, limit=1, lease_ms=LEASE_MS)
        await carrier.tend()
        assert await carrier._session.command("HLEN", f"{carrier._session.prefix}hand") == 1
        assert await carrier._session.command("HLEN", f"{carrier._session.prefix}at") == 1


async def _sizes(carrier: RedisBroker) -> dict[str, int]:
    """Of all keys but those that end by themselves."""
    sizes = dict[str, int]()
    for name in await _keys(carrier):
        key = carrier._session.prefix + name
        if await carrier._session.command("PTTL", key) == -1:
            kind = await carrier._session.command("TYPE", key)
            sizes[name] = await carrier._session.command(_SIZES[kind], key) if kind in _SIZES else 1
    return sizes


async def _each_is_counted(carrier: RedisBroker) -> None:
    """By hash n maintenance knows which kinds have jobs: no verb may leave it wrong."""
    prefix = carrier._session.prefix
    flat = await carrier._session.command("HGETALL", f"{prefix}n")
    counts = {field: int(some) for field, some in zip(flat[::2], flat[1::2], strict=True)}
    scheduled = sum(some for field, some in counts.items() if field.startswith(b"D:"))
    assert scheduled == await carrier._session.command("ZCARD", f"{prefix}sched")
    assert sum(counts.values()) - scheduled == await carrier._session.command("HLEN", f"{prefix}done")
    assert [field for field, some in counts.items() if some <= 0] == []


async def _do_everything(app: App, name: str) -> None:
    carrier = app.carrier
    await carrier.declare_schedules([SCHEDULE])
    signals: Any = carrier.signals(IDLE, handed=True)
    events: Any = carrier.events()
    await anext(signals)
    watching = asyncio.ensure_future(anext(events))
    await app.fill()
    for verb in (one for some in VERBS.values() for one in some):
        steps = verb(app)
        await anext(steps)
        with suppress(StopAsyncIteration):
            await anext(steps)
    for number in range(20):  # killed: while they run a job, or wait for one to be sent
        worker = WorkerId(f"killed-{name}-{number}")
        carrier._claims.begin_hands(worker)
        await app.offer([job(queue, priority=9) for queue in ("q", "other")][number % 2 :])
        await carrier.claim([QueueWant("q", 3)], worker=worker, limit=number % 3 + 1, lease_ms=1)
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await carrier.wait_finished((await app.ids(JobState.SCHEDULED))[0], None)
    await _each_is_counted(carrier)
    await watching
    await signals.aclose()
    await events.aclose()


async def _clean_up(app: App, clock: FakeClock) -> None:
    carrier = app.carrier
    clock.advance(600_000)  # windows and leases of the killed end
    await app.end()
    await _each_is_counted(carrier)
    for state in JobState:
        if state.terminal:
            while await carrier.clean(state, older_than_ms=-1, limit=1000):
                pass
    app.accepted.clear()
    for _ in range(5):
        await carrier.tend()


async def test_of_everything_that_was_done_only_what_is_explained_is_left(
    redis_url: str, namespace: str
) -> None:
    clock = FakeClock()
    settings = BrokerSettings(namespace=namespace)
    async with RedisBroker.from_url(redis_url, settings, clock=clock) as carrier:
        app = App(carrier)
        await _do_everything(app, "first")
        await _clean_up(app, clock)
        first = await _sizes(carrier)
        assert {name: size for name, size in first.items() if size > LEFT.get(name, (0, ""))[0]} == {}
        await _do_everything(app, "again")
        await _clean_up(app, clock)
        again = await _sizes(carrier)
        assert {name for name in again if again[name] > first.get(name, 0)} <= {"ev", "control:routes"}


async def _look_at_kinds(carrier: RedisBroker) -> int:
    """Tend as if a second had passed since kinds were looked at last; return how many are known."""
    prefix = carrier._session.prefix
    await carrier._session.command("DEL", f"{prefix}kinds:look")
    await carrier.tend()
    return int(await carrier._session.command("HLEN", f"{prefix}kinds")) - 1


IN_EACH_STATE: Final = ("succeeded", "failed", "running", "cancelled", "ready", "scheduled")


async def _in_each_state(carrier: RedisBroker) -> tuple[dict[str, JobId], Delivery]:
    """Bring jobs of a queue each into each of the states, and remove one; return the former, and the one that runs."""
    jobs = {name: job(name, due_ms=FAR if name == "scheduled" else None) for name in (*IN_EACH_STATE, "gone")}
    await carrier.enqueue(list(jobs.values()))
    leases = {name: (await _claim_of(carrier, name))[0] for name in IN_EACH_STATE[:3]}
    await succeed(carrier, [leases["succeeded"]])
    await carrier.settle([Settlement(leases["failed"].lease, Failed(b"h"))])
    await carrier.cancel([jobs["cancelled"].id])
    await carrier.remove([jobs.pop("gone").id])
    return {name: one.id for name, one in jobs.items()}, leases["running"]


async def _claim_of(carrier: RedisBroker, queue: str) -> list[Delivery]:
    wants = [QueueWant(queue, 10)]
    return (await carrier.claim(wants, worker=WorkerId("w"), limit=10, lease_ms=LEASE_MS)).deliveries


async def test_kinds_without_jobs_are_forgotten_and_no_number_is_given_twice(
    redis_url: str, namespace: str
) -> None:
    kept, more, used = 10_000, 2000, len(IN_EACH_STATE)
    async with broker(redis_url, namespace) as carrier, broker(redis_url, namespace) as other:
        jobs, running = await _in_each_state(carrier)
        await other.enqueue([job("gone")])  # it knows the number from now on
        gone = await _claim_of(other, "gone")
        await succeed(other, gone)
        await other.remove([one.lease.job_id for one in gone])
        counts = await carrier.counts()
        given = set[bytes]()
        for first in range(0, kept + more, 2000):
            kinds = [Kind(5, f"customer-{number}", "pay") for number in range(first, first + 2000)]
            given |= set((await carrier._session.numbers(kinds)).values())
        prefix = carrier._session.prefix
        await carrier._session.command("RENAME", f"{prefix}n", f"{prefix}n~")  # as if somebody had deleted it
        assert await _look_at_kinds(carrier) == kept + more + used + 1
        await carrier._session.command("RENAME", f"{prefix}n~", f"{prefix}n")
        rounds = 0
        while await _look_at_kinds(carrier) > kept + used:
            rounds += 1
            assert rounds < 2000
        assert await _look_at_kinds(carrier) == kept + used
        assert await carrier._session.command("HLEN", f"{prefix}kindof") == kept + used + 1
        assert await carrier.counts() == counts
        assert [one and one.queue for one in await other.get(list(jobs.values()))] == list(jobs)
        await other.enqueue([job("gone")])  # under a number that is forgotten
        (anew,) = await _claim_of(carrier, "gone")
        assert (anew.queue, anew.task) == ("gone", "shop.pay")
        number = (await other._session.numbers([Kind(5, "gone", "shop.pay")])).popitem()[1]
        assert int(number) > max(map(int, given))
        assert all(one.applied for one in await succeed(carrier, [anew, running]))


@pytest.mark.parametrize("lost", [("kinds",), ("kindof",), ("kinds", "kindof")])
async def test_a_number_of_kinds_that_somebody_deleted_is_not_given_to_others(
    redis_url: str, namespace: str, lost: tuple[str, ...]
) -> None:
    async with broker(redis_url, namespace) as carrier:
        await carrier.enqueue([job("a"), job("b")])
        old = await carrier._session.numbers([Kind(5, "a", "shop.pay"), Kind(5, "b", "shop.pay")])
        await carrier._session.command("DEL", *(carrier._session.prefix + name for name in lost))
        carrier._session.forget_kinds()
        await carrier.enqueue([job("c"), job("d")])
        new = await carrier._session.numbers([Kind(5, "c", "shop.pay"), Kind(5, "d", "shop.pay")])
        assert not set(old.values()) & set(new.values())
        if lost != ("kinds", "kindof"):  # what one of them tells is enough
            assert [one.queue for queue in "abcd" for one in await _claim_of(carrier, queue)] == list("abcd")


async def test_a_number_that_an_older_headway_gave_is_not_given_again(redis_url: str, namespace: str) -> None:
    async with broker(redis_url, namespace) as carrier:
        await carrier.enqueue([job("a")])
        prefix = carrier._session.prefix
        text = Kind(5, "old", "shop.pay").text()
        number = await carrier._session.command("HLEN", f"{prefix}kinds")  # it counts so, beside this one
        await carrier._session.command("HSET", f"{prefix}kinds", number, text)
        await carrier._session.command("HSET", f"{prefix}kindof", text, number)
        kinds = [Kind(5, queue, "shop.pay") for queue in ("old", "new")]
        numbers = await carrier._session.numbers(kinds)
        assert int(numbers[kinds[0]]) == number < int(numbers[kinds[1]])
