"""Listing, searching, paging and counting."""

from __future__ import annotations

import pytest

from headway.brokers.base import JobQuery
from headway.job import Failed, JobId, JobState, Released, Succeeded
from tests.conformance.scene import HOUR, LEASE_MS, MINUTE, SECOND, TERMINAL, Scene


async def _pages(scene: Scene, query: JobQuery, limit: int) -> list[list[JobId]]:
    pages: list[list[JobId]] = []
    cursor: str | None = None
    while True:
        page = await scene.carrier.list(query, after=cursor, limit=limit)
        assert len(page.jobs) <= limit
        pages.append([record.id for record in page.jobs])
        cursor = page.cursor
        if cursor is None:
            return pages
        assert len(pages) < 1000, "the cursor does not come to an end"


async def _ids(scene: Scene, query: JobQuery, limit: int = 1000) -> list[JobId]:
    return [job_id for page in await _pages(scene, query, limit) for job_id in page]


async def test_an_empty_store_lists_nothing(scene: Scene) -> None:
    page = await scene.carrier.list(JobQuery())
    assert (page.jobs, page.cursor) == ([], None)


@pytest.mark.parametrize("state", list(JobState))
async def test_jobs_are_listed_by_state_with_their_whole_record(scene: Scene, state: JobState) -> None:
    by_state = {each: await scene.reach(each, scene.job(queue=each, key=f"k-{each}")) for each in JobState}
    page = await scene.carrier.list(JobQuery(states=(state,)))
    assert page.jobs == [await scene.record(by_state[state])]


async def test_a_query_without_conditions_lists_every_job_once(scene: Scene) -> None:
    ids = [await scene.reach(state, scene.job(queue=f"{state}-{n}")) for state in JobState for n in range(3)]
    assert sorted(await _ids(scene, JobQuery())) == sorted(ids)


async def test_several_states_may_be_asked_for(scene: Scene) -> None:
    by_state = {state: await scene.reach(state, scene.job(queue=state)) for state in JobState}
    wanted = (JobState.READY, JobState.FAILED, JobState.SCHEDULED)
    assert sorted(await _ids(scene, JobQuery(states=wanted))) == sorted(by_state[state] for state in wanted)


@pytest.mark.parametrize("state", list(JobState))
@pytest.mark.parametrize("limit", [1, 3, 10, 11])
async def test_pages_are_complete_and_without_repeats(scene: Scene, state: JobState, limit: int) -> None:
    ids = [await scene.reach(state, scene.job(queue=f"q{n}")) for n in range(10)]
    pages = await _pages(scene, JobQuery(states=(state,)), limit)
    assert sorted(job_id for page in pages for job_id in page) == sorted(ids)


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_pages_over_all_states_are_complete_and_without_repeats(scene: Scene, limit: int) -> None:
    ids = [await scene.reach(state, scene.job(queue=f"{state}-{n}")) for n in range(3) for state in JobState]
    assert sorted(await _ids(scene, JobQuery(), limit)) == sorted(ids)


async def test_the_order_is_stable(scene: Scene) -> None:
    for number in range(5):
        for state in JobState:
            await scene.reach(state, scene.job(queue=f"{state}-{number}"))
    whole = await _ids(scene, JobQuery())
    assert await _ids(scene, JobQuery(), limit=2) == whole
    assert await _ids(scene, JobQuery()) == whole


@pytest.mark.needs("by_end")
@pytest.mark.parametrize("state", TERMINAL)
async def test_completed_jobs_of_one_state_are_listed_newest_first(scene: Scene, state: JobState) -> None:
    ids = []
    for number in range(6):
        ids.append(await scene.reach(state, scene.job(queue=f"q{number}")))
        scene.clock.advance(SECOND)
    assert await _ids(scene, JobQuery(states=(state,)), limit=4) == ids[::-1]


@pytest.mark.needs("by_end")
async def test_a_new_life_and_a_new_end_move_a_job_to_the_front_and_list_it_once(scene: Scene) -> None:
    first = await scene.reach(JobState.FAILED)
    scene.clock.advance(SECOND)
    second = await scene.reach(JobState.FAILED)
    scene.clock.advance(SECOND)
    await scene.carrier.retry([first])
    assert await _ids(scene, JobQuery(states=(JobState.FAILED,))) == [second]
    await scene.finish(await scene.take_one(), Failed())
    assert await _ids(scene, JobQuery(states=(JobState.FAILED,)), limit=1) == [first, second]


async def test_jobs_are_listed_by_queue(scene: Scene) -> None:
    a = await scene.put_many(3, queue="a")
    b = await scene.put_many(2, queue="b")
    await scene.put_many(2, queue="c")
    assert sorted(await _ids(scene, JobQuery(queues=("a",)))) == sorted(a)
    assert sorted(await _ids(scene, JobQuery(queues=("b", "a", "unknown")), limit=2)) == sorted([*a, *b])
    assert await _ids(scene, JobQuery(queues=("unknown",))) == []


async def test_jobs_are_listed_by_task(scene: Scene) -> None:
    pay = await scene.put(scene.job(task="shop.pay"))
    later = await scene.put(scene.job(task="shop.pay_later"))
    await scene.put(scene.job(task="shop.send"))
    assert await _ids(scene, JobQuery(tasks=("shop.pay",))) == [pay]
    assert sorted(await _ids(scene, JobQuery(tasks=("shop.pay_later", "shop.pay")))) == sorted([pay, later])
    assert await _ids(scene, JobQuery(tasks=("shop",))) == []


async def test_all_conditions_of_a_query_hold(scene: Scene) -> None:
    for queue in ("a", "b"):
        for task in ("pay", "send"):
            await scene.put(scene.job(queue=queue, task=task, key=f"{queue}-{task}"))
            await scene.put(scene.job(queue=queue, task=task, due=HOUR))
    page = await scene.carrier.list(
        JobQuery(states=(JobState.READY,), queues=("b",), tasks=("send",), search="B-S")
    )
    assert [(job.queue, job.task, job.state, job.key) for job in page.jobs] == [
        ("b", "send", JobState.READY, "b-send")
    ]


@pytest.mark.parametrize("state", [JobState.SCHEDULED, JobState.READY, JobState.RUNNING, JobState.SUCCEEDED])
async def test_search_finds_parts_of_id_task_and_key_in_any_case(scene: Scene, state: JobState) -> None:
    wanted = await scene.reach(state, scene.job(queue="a", task="shop.PayInvoice", key="Order-4711"))
    await scene.reach(state, scene.job(queue="b", task="shop.send", key="other"))
    for text in ("payinv", "PAYINVOICE", "order-47", "4711", wanted, wanted.upper(), wanted[5:]):
        assert await _ids(scene, JobQuery(search=text)) == [wanted], text
    assert await _ids(scene, JobQuery(search="nowhere")) == []


@pytest.mark.parametrize("text", ["%", "_", "*", "?", "[a]", "\\", "'", '"', "{", "|"])
async def test_search_takes_patterns_literally(scene: Scene, text: str) -> None:
    """Hostile contents: no wildcard, no quote has a meaning."""
    await scene.put(scene.job(task="plain", key="plain"))
    wanted = await scene.put(scene.job(task="plain", key=f"x{text}y"))
    assert await _ids(scene, JobQuery(search=text)) == [wanted]


async def test_a_search_pages_past_what_does_not_match(scene: Scene) -> None:
    """A page may be short or even empty; the cursor leads on to every match."""
    count = scene.many(1000, least=200)
    jobs = [scene.job(task="needle" if number % (count // 10) == 0 else "hay") for number in range(count)]
    await scene.carrier.enqueue(jobs)
    needles = [job.id for job in jobs if job.task == "needle"]
    assert sorted(await _ids(scene, JobQuery(search="needle"), limit=3)) == sorted(needles)
    assert sorted(await _ids(scene, JobQuery(tasks=("needle",)), limit=3)) == sorted(needles)


async def test_a_thousand_jobs_fit_on_one_page(scene: Scene) -> None:
    ids = await scene.put_many(1100)
    page = await scene.carrier.list(JobQuery(), limit=1000)
    assert len(page.jobs) == 1000
    assert page.cursor is not None
    rest = await scene.carrier.list(JobQuery(), after=page.cursor, limit=1000)
    assert sorted(job.id for job in [*page.jobs, *rest.jobs]) == sorted(ids)


@pytest.mark.parametrize("cursor", ["", "garbage", "-1", "1:2:3:4:5:6:7", "\x00", "9" * 400, "é"])
async def test_a_cursor_that_was_never_given_out_is_refused(scene: Scene, cursor: str) -> None:
    await scene.put_many(3)
    with pytest.raises(ValueError):
        await scene.carrier.list(JobQuery(), after=cursor)


async def test_counts_tell_the_jobs_of_each_queue_by_state(scene: Scene) -> None:
    for state in sorted(JobState, key=lambda state: state is JobState.READY):
        await scene.reach(state, scene.job(queue="all"))
    await scene.put_many(4, queue="some")
    rows = {row.queue: row for row in await scene.carrier.counts()}
    assert sorted(rows) == ["all", "some"]
    assert {state: count for state, count in rows["all"].counts.items() if count} == dict.fromkeys(
        JobState, 1
    )
    assert {state: count for state, count in rows["some"].counts.items() if count} == {JobState.READY: 4}


async def test_counts_are_sorted_by_queue_and_include_paused_empty_ones(scene: Scene) -> None:
    await scene.put(scene.job(queue="b"))
    await scene.put(scene.job(queue="a", due=HOUR))
    await scene.carrier.pause("c")
    assert [(row.queue, row.paused) for row in await scene.carrier.counts()] == [
        ("a", False),
        ("b", False),
        ("c", True),
    ]


async def test_counts_may_be_asked_for_certain_queues(scene: Scene) -> None:
    await scene.put_many(2, queue="a")
    await scene.put_many(3, queue="b")
    rows = await scene.carrier.counts(["b", "unknown"])
    assert {row.queue: row.counts.get(JobState.READY, 0) for row in rows if row.counts} == {"b": 3} | {
        row.queue: 0 for row in rows if row.counts and row.queue == "unknown"
    }
    assert all(row.queue in {"b", "unknown"} for row in rows)


async def test_an_empty_store_counts_nothing(scene: Scene) -> None:
    assert await scene.carrier.counts() == []


async def test_counts_follow_every_transition(scene: Scene) -> None:
    async def counted() -> dict[JobState, int]:
        [row] = await scene.carrier.counts()
        return {state: count for state, count in row.counts.items() if count}

    job_id = await scene.put(scene.job(due=SECOND))
    assert await counted() == {JobState.SCHEDULED: 1}
    scene.clock.advance(SECOND)
    await scene.carrier.tend()
    assert await counted() == {JobState.READY: 1}
    delivery = await scene.take_one()
    assert await counted() == {JobState.RUNNING: 1}
    await scene.finish(delivery, Released())
    assert await counted() == {JobState.READY: 1}
    delivery = await scene.take_one()
    await scene.finish(delivery, Failed())
    assert await counted() == {JobState.FAILED: 1}
    await scene.carrier.retry([job_id])
    assert await counted() == {JobState.READY: 1}
    await scene.finish(await scene.take_one(), Succeeded())
    assert await counted() == {JobState.SUCCEEDED: 1}
    await scene.carrier.remove([job_id])
    assert await scene.carrier.counts() == []


@pytest.mark.needs("pull")
async def test_counts_follow_the_return_of_a_dead_workers_job(scene: Scene) -> None:
    await scene.start()
    assert await scene.count(JobState.RUNNING) == 1
    scene.clock.advance(LEASE_MS + 1)
    await scene.carrier.tend()
    assert (await scene.count(JobState.RUNNING), await scene.count(JobState.READY)) == (0, 1)


async def test_counts_tell_since_when_the_oldest_ready_job_waits(scene: Scene) -> None:
    first = scene.now
    await scene.put(scene.job(priority=1))
    scene.clock.advance(MINUTE)
    await scene.put(scene.job(priority=9))
    [row] = await scene.carrier.counts(["q"])
    assert row.oldest_ready_ms == first
    [urgent, oldest] = await scene.take(2)
    await scene.finish(urgent)
    await scene.finish(oldest)
    [row] = await scene.carrier.counts(["q"])
    assert row.oldest_ready_ms is None


async def test_a_delayed_jobs_wait_begins_when_it_is_due(scene: Scene) -> None:
    """The age of the oldest job measures how late the workers are, not how far ahead it was planned."""
    due = scene.now + HOUR
    await scene.put(scene.job(due=HOUR))
    [row] = await scene.carrier.counts(["q"])
    assert row.oldest_ready_ms is None
    scene.clock.advance(HOUR + 0)
    await scene.carrier.tend()
    [row] = await scene.carrier.counts(["q"])
    assert row.oldest_ready_ms == due
