"""Life-cycle events: one for each transition, in order, resumable."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from headway.events import EventKind
from headway.job import (
    Cancelled,
    Expired,
    Failed,
    JobId,
    Lease,
    Outcome,
    Released,
    RetryAt,
    Succeeded,
    UniqueLock,
    UniqueMode,
    WorkerId,
)
from tests.conformance.listening import Listener, events_since, settled_cursor
from tests.conformance.scene import HOUR, LEASE_MS, SECOND, Scene

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.events import Event
    from headway.testing import FakeClock
    from tests.conformance.store import Store

pytestmark = pytest.mark.needs("events")

E = EventKind


@pytest.fixture
async def recorded(store: Store, clock: FakeClock) -> AsyncIterator[Scene]:
    """A broker that keeps events also while nobody watches."""
    async with store.broker(record_events=True) as broker:
        yield Scene(broker, clock)


async def _kinds(scene: Scene, cursor: str, job_id: JobId) -> list[EventKind]:
    return [event.kind for event in await events_since(scene, cursor) if event.job_id == job_id]


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Succeeded(b"r"), E.SUCCEEDED),
        (Failed(), E.FAILED),
        (Cancelled(), E.CANCELLED),
        (Expired(), E.EXPIRED),
        (Released(), E.RELEASED),
        (RetryAt(0), E.RETRY),
        (RetryAt(2**42, counted=False), E.RETRY),
    ],
    ids=repr,
)
async def test_a_life_is_told_from_enqueue_to_outcome(
    recorded: Scene, outcome: Outcome, kind: EventKind
) -> None:
    cursor = await settled_cursor(recorded)
    delivery = await recorded.start(recorded.job(queue="mail"), worker="host:1")
    started = recorded.now
    recorded.clock.advance(SECOND)
    await recorded.settle(delivery, outcome)
    events = await events_since(recorded, cursor)
    job_id = delivery.lease.job_id
    assert [(event.kind, event.job_id, event.queue) for event in events] == [
        (E.ENQUEUED, job_id, "mail"),
        (E.STARTED, job_id, "mail"),
        (kind, job_id, "mail"),
    ]
    assert [event.at_ms for event in events] == [started, started, recorded.now]
    assert [event.epoch for event in events] == [0, 1, 1]
    assert events[1].worker == "host:1"


async def test_a_refused_settle_is_recorded_as_superseded(recorded: Scene) -> None:
    """Promise 3: recorded as superseded, never as an error of the job."""
    delivery = await recorded.start()
    cursor = await settled_cursor(recorded)
    stale = Lease(delivery.lease.job_id, WorkerId("thief"), 1)
    assert not await recorded.settle(stale, Failed())
    await recorded.finish(delivery)
    assert not await recorded.settle(delivery, Failed())
    assert await _kinds(recorded, cursor, delivery.lease.job_id) == [E.SUPERSEDED, E.SUCCEEDED, E.SUPERSEDED]


async def test_a_job_has_one_terminal_event_a_life(recorded: Scene) -> None:
    """Promise 3: exactly one completion."""
    cursor = await settled_cursor(recorded)
    first = await recorded.start()
    recorded.clock.advance(LEASE_MS + 1)
    second = await recorded.take_one(worker="other")
    await recorded.settle(first, Succeeded())
    await recorded.settle(second, Failed())
    await recorded.settle(second, Succeeded())
    await recorded.carrier.cancel([second.lease.job_id])
    await recorded.carrier.retry([second.lease.job_id])
    await recorded.finish(await recorded.take_one())
    assert await _kinds(recorded, cursor, first.lease.job_id) == [
        E.ENQUEUED,
        E.STARTED,
        E.RECLAIMED,
        E.STARTED,
        E.SUPERSEDED,
        E.FAILED,
        E.SUPERSEDED,
        E.RETRIED,
        E.STARTED,
        E.SUCCEEDED,
    ]


async def test_a_surrender_is_told(recorded: Scene) -> None:
    delivery = await recorded.start()
    cursor = await settled_cursor(recorded)
    await recorded.carrier.surrender(WorkerId("w"), started=None)
    [kind] = await _kinds(recorded, cursor, delivery.lease.job_id)
    assert kind in {E.RECLAIMED, E.RELEASED}


async def test_acts_by_hand_are_told(recorded: Scene) -> None:
    waiting = await recorded.put(recorded.job(due=HOUR))
    cursor = await settled_cursor(recorded)
    await recorded.carrier.promote([waiting])
    await recorded.carrier.cancel([waiting])
    await recorded.carrier.retry([waiting])
    await recorded.carrier.remove([waiting])
    kinds = await _kinds(recorded, cursor, waiting)
    assert kinds == [E.CANCELLED, E.RETRIED, E.REMOVED]


async def test_expiry_is_told(recorded: Scene) -> None:
    job_id = await recorded.put(recorded.job(expires=SECOND))
    cursor = await settled_cursor(recorded)
    recorded.clock.advance(SECOND)
    await recorded.carrier.tend()
    assert await _kinds(recorded, cursor, job_id) == [E.EXPIRED]


async def test_a_replaced_unique_job_is_told_as_cancelled(recorded: Scene) -> None:
    cursor = await settled_cursor(recorded)
    lock = UniqueLock("u", UniqueMode.DEBOUNCE)
    first = await recorded.put(recorded.job(unique=lock))
    second = await recorded.put(recorded.job(unique=lock))
    events = await events_since(recorded, cursor)
    assert sorted((event.job_id, event.kind) for event in events) == [
        (first, E.CANCELLED),
        (first, E.ENQUEUED),
        (second, E.ENQUEUED),
    ]


async def test_what_changes_nothing_is_not_told(recorded: Scene) -> None:
    """A duplicate, a repeat and a cancel of a complete job are no transitions."""
    job = recorded.job(key="k")
    delivery = await recorded.start(job)
    await recorded.finish(delivery)
    cursor = await settled_cursor(recorded)
    await recorded.offer(job)
    await recorded.offer(recorded.job(key="k"))
    await recorded.carrier.cancel([job.id])
    await recorded.carrier.retry([job.id])
    await recorded.carrier.promote([job.id])
    await recorded.carrier.pause("q")
    assert await events_since(recorded, cursor) == []


@pytest.mark.needs("one_store")
async def test_events_go_on_behind_a_cursor(recorded: Scene) -> None:
    """A browser that reconnects misses nothing and gets nothing twice."""
    cursor = await settled_cursor(recorded)
    ids = [await recorded.put() for _ in range(5)]
    events = await events_since(recorded, cursor)
    assert [event.job_id for event in events] == ids
    rest = await events_since(recorded, events[2].cursor)
    assert rest == events[3:]


@pytest.mark.needs("one_store")
async def test_a_thousand_events_are_told_in_order(recorded: Scene) -> None:
    cursor = await settled_cursor(recorded)
    ids = await recorded.put_many(1000)
    events = await events_since(recorded, cursor)
    assert [event.job_id for event in events] == ids
    assert len({event.cursor for event in events}) == 1000


async def test_a_watcher_sees_events_of_other_processes_as_they_happen(scene: Scene, store: Store) -> None:
    """Without record_events: watching is enough."""
    async with store.broker() as watching:
        await settled_cursor(scene, watching)
        async with Listener(watching.events()) as listener:
            seen: list[Event] = []
            while not any(event.queue == "live" for event in seen):
                # Watching begins a moment after it is asked for: what came before is rightly not told.
                await scene.put(scene.job(queue="live"))
                with contextlib.suppress(TimeoutError):
                    seen.append(await listener.next(within=0.2))
            job_id = next(event.job_id for event in seen if event.queue == "live")
            for delivery in await scene.take(100, queue="live"):
                await scene.finish(delivery)
            events = await listener.until(lambda event: event.job_id == job_id and event.kind is E.SUCCEEDED)
            assert [event.kind for event in [*seen, *events] if event.job_id == job_id] == [
                E.ENQUEUED,
                E.STARTED,
                E.SUCCEEDED,
            ]


@pytest.mark.needs("one_store")
async def test_several_watchers_see_the_same_events(recorded: Scene, store: Store) -> None:
    cursor = await settled_cursor(recorded)
    async with (
        store.broker(record_events=True) as other,
        Listener(recorded.carrier.events(after=cursor)) as first,
        Listener(recorded.carrier.events(after=cursor)) as second,
        Listener(other.events(after=cursor)) as third,
    ):
        ids = await recorded.put_many(20)
        told = [
            [
                event
                for event in await listener.until(lambda event: event.job_id == ids[-1])
                if event.queue == "q"
            ]
            for listener in (first, second, third)
        ]
    assert [event.job_id for event in told[0]] == ids
    assert told[0] == told[1] == told[2]


async def test_a_watcher_that_leaves_disturbs_nobody(recorded: Scene) -> None:
    cursor = await settled_cursor(recorded)
    async with Listener(recorded.carrier.events(after=cursor)) as stays:
        async with Listener(recorded.carrier.events()):
            await recorded.put()
        last = await recorded.put()
        events = await stays.until(lambda event: event.job_id == last)
    assert len([event for event in events if event.queue == "q"]) == 2


async def test_it_is_told_whether_the_events_behind_a_cursor_are_kept(recorded: Scene) -> None:
    cursor = await settled_cursor(recorded)
    assert await recorded.carrier.events_kept(cursor)
    await recorded.finish(await recorded.start())
    assert await recorded.carrier.events_kept(cursor)
    (first, *_, last) = await events_since(recorded, cursor)
    assert await recorded.carrier.events_kept(first.cursor)
    assert await recorded.carrier.events_kept(last.cursor)


async def test_each_cursor_goes_on_behind_its_own_event(recorded: Scene) -> None:
    """Also where a carrier keeps the events of one call together."""
    cursor = await settled_cursor(recorded)
    jobs = [recorded.job(queue=f"q{number // 35}") for number in range(40)]
    await recorded.carrier.enqueue(jobs)
    events = await events_since(recorded, cursor)
    assert sorted(event.job_id for event in events) == sorted(job.id for job in jobs)
    assert len({event.cursor for event in events}) == 40
    for number in (0, 1, 30, 31, 32, 38):
        behind = await events_since(recorded, events[number].cursor)
        assert {event.job_id for event in behind} == {event.job_id for event in events[number + 1 :]}
        assert await recorded.carrier.events_kept(events[number].cursor)
