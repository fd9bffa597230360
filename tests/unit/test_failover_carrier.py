"""One carrier with a spool: what is kept, how it comes home, and that nothing comes twice."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from headway import Headway, Unique
from headway.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    JobCancelledError,
    JobNotFoundError,
    SpoolError,
)
from headway.job import JobState, new_job_id
from headway.routing.failover.breaker import BreakerState
from headway.routing.failover.waiting import IN_SPOOL
from headway.testing import FaultyBroker
from tests.unit.failover_scene import scene

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.failover_scene import Scene


async def test_a_job_that_its_carrier_does_not_take_comes_home_under_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.main.fail_next("enqueue")
        handle = await one.send.enqueue(1)
        assert await one.on() == []
        assert await one.waiting() == 1
        [info] = await one.app.jobs.get(handle)
        assert info is not None
        assert (info.state, info.reason, info.args) == (JobState.READY, IN_SPOOL, (1,))
        assert await one.flush() == 1
        assert [record.id for record in await one.on()] == [handle.id]
        assert (await one.waiting(), (await one.failover.contents()).flushed) == (0, 1)


async def test_later_jobs_of_the_queue_go_behind_it_and_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.main.fail_next("enqueue")
        ids = [(await one.send.enqueue(n)).id for n in range(5)]
        other = await one.send.options(queue="other").enqueue()
        assert [record.id for record in await one.on()] == [other.id]
        assert await one.waiting() == 5
        await one.flush()
        ids.append((await one.send.enqueue(5)).id)
        assert await one.waiting() == 0
        assert await one.run() == ids


async def test_many_jobs_of_two_queues_are_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.main.fail_next("enqueue")
        first = await one.send.enqueue()
        other = one.send.options(queue="other")
        handles = await one.app.enqueue_many([one.send.job(1), other.job(2), one.send.job(3), other.job(4)])
        assert await one.waiting() == 3
        assert await one.run(queues=["other"]) == [handles[1].id, handles[3].id]
        await one.flush()
        assert await one.run() == [first.id, handles[0].id, handles[2].id]


async def test_a_job_that_ran_before_its_answer_was_lost_does_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.main.fail_next("enqueue", when="after")
        handle = await one.send.enqueue()
        assert await one.waiting() == 1
        assert await one.run() == [handle.id]
        assert await one.flush() == 1
        assert await one.run() == []
        [record] = await one.on()
        assert (record.state, record.epoch) == (JobState.SUCCEEDED, 1)


async def test_calls_without_an_answer_are_given_up_together_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch, breaker_timeout=0.5) as one:
        one.main.delay("enqueue", 30)

        async def later() -> str:
            await asyncio.sleep(0.2)
            return (await one.send.enqueue(1)).id

        first, second = await asyncio.gather(one.send.enqueue(0), later())
        one.main.delay("enqueue", 0)
        await one.flush()
        assert await one.run() == [first.id, second]


async def test_who_is_cancelled_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch, breaker_timeout=30) as one:
        one.main.delay("enqueue", 30)
        call = asyncio.ensure_future(one.send.enqueue())
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await one.waiting() == 0
        assert one.breaker().state is BreakerState.CLOSED


async def test_an_open_breaker_asks_nobody_and_a_look_that_is_answered_brings_all_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path, monkeypatch, breaker_errors=1) as one:
        one.main.fail_next("enqueue")
        ids = [(await one.send.options(queue=queue).enqueue()).id for queue in ("a", "b", "c")]
        assert one.main.calls["enqueue"] == 1
        assert "carrier main does not answer: its jobs go to the spool" in caplog.text
        assert await one.flush() == 0  # it is open
        one.main.fail_next("paused")
        flusher = one.failover.flushers["main"]
        assert not await flusher.look()
        assert one.breaker().state is BreakerState.OPEN
        assert await flusher.look()
        assert one.breaker().state is BreakerState.HALF_OPEN
        assert await flusher.flush() == 3
        assert one.breaker().state is BreakerState.CLOSED
        assert {record.id for record in await one.on()} == set(ids)
        assert "carrier main answers again, after" in caplog.text


async def test_a_refusal_reaches_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch, breaker_errors=1) as one:
        one.main.fail_next("enqueue", error=BrokerRefusedError("full"))
        with pytest.raises(BrokerRefusedError, match="full"):
            await one.send.enqueue()
        assert await one.waiting() == 0
        assert one.breaker().state is BreakerState.CLOSED


async def test_a_full_spool_names_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scene(tmp_path, monkeypatch, breaker_errors=1, spool_limit=2) as one:
        one.main.fail_next("enqueue")
        await one.send.enqueue()
        await one.send.enqueue()
        with pytest.raises(SpoolError, match=r"carrier main is away .*it holds 2 jobs, spool_limit is 2"):
            await one.send.enqueue()
        assert await one.waiting() == 2


async def test_a_carrier_that_is_away_when_the_app_opens_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = FaultyBroker.open
    times = 0

    async def away_at_first(broker: FaultyBroker) -> None:
        nonlocal times
        times += 1
        if times == 1:
            msg = "away"
            raise BrokerUnavailableError(msg)
        await opened(broker)

    monkeypatch.setattr(FaultyBroker, "open", away_at_first)
    async with scene(tmp_path, monkeypatch) as one:
        assert one.breaker().state is BreakerState.OPEN
        handle = await one.send.enqueue()
        assert await one.failover.flushers["main"].look()
        await one.flush()
        assert [record.id for record in await one.on()] == [handle.id]


async def test_who_waits_for_a_job_in_the_spool_gets_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.main.fail_next("enqueue")
        handle = await one.send.enqueue()
        record = await one.app.carrier.wait_finished(handle.id, 50)
        assert record is not None
        assert record.reason == IN_SPOOL
        waiting = asyncio.ensure_future(handle.result(timeout=20))
        await asyncio.sleep(0)
        await one.flush()
        await one.run()
        assert await waiting is None


async def test_what_nobody_can_tell_any_more_is_set_aside_until_people_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path, monkeypatch, keep_succeeded=10) as one:
        one.main.fail_next("enqueue", when="after")
        old = await one.send.enqueue()
        fresh = await one.send.enqueue()  # behind it, and never sent
        await one.run()
        spool = one.failover.carriers["main"]._spool
        [entry, _] = await spool.head("main", 9)
        await spool._run(
            lambda file: (
                file._usable()
                .execute("UPDATE job SET tried_ms = tried_ms - 9500 WHERE seq = ?", (entry.seq,))
                .rowcount
            )
        )
        await one.main.inner.remove([old.id])  # as pruning does
        assert await one.flush() == 1
        assert f"1 jobs are set aside, such as {old.id}" in caplog.text
        assert await one.run() == [fresh.id]
        assert [row[0] for row in await one.failover.parked(9)] == [old.id]
        assert await one.failover.unpark() == 1
        assert await one.flush() == 1
        assert await one.run() == [old.id]


async def test_a_cap_that_may_have_dropped_the_record_sets_aside_and_one_that_cannot_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.routing.failover.remembering._CAPPED_AFTER_MS", -1)
    for cap, brought in ((100, 1), (4, 0)):
        folder = tmp_path / str(cap)
        folder.mkdir()
        async with scene(folder, monkeypatch, max_succeeded=cap) as one:
            await one.app.enqueue_many([one.send.job(n) for n in range(3)])
            await one.run()
            one.main.fail_next("enqueue")
            await one.send.enqueue()
            assert await one.flush() == brought
            assert (await one.failover.contents()).parked == 1 - brought


async def test_a_job_that_is_refused_while_others_are_taken_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.main.fail_next("enqueue")
        ids = [(await one.send.enqueue(n)).id for n in range(3)]
        # The batch, then the first of them.
        one.main.fail_next("enqueue", times=2, error=BrokerRefusedError("it cannot be stored"))
        assert await one.flush() == 2
        assert await one.run() == ids[1:]
        [(job_id, _, why)] = await one.failover.parked(9)
        assert (job_id, why) == (ids[0], "refused: BrokerRefusedError: it cannot be stored")


async def test_a_carrier_that_takes_nothing_keeps_them_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.main.fail_next("enqueue")
        ids = [(await one.send.enqueue(n)).id for n in range(3)]
        one.main.fail_next("enqueue", times=4, error=BrokerRefusedError("full"))
        assert await one.flush() == 0
        assert "carrier main answers, but takes no jobs" in caplog.text
        left = await one.failover.flush()
        assert (left.jobs, left.parked, one.main.pending) == (3, 0, [])
        assert await one.flush() == 3
        assert await one.run() == ids


async def test_the_process_that_brings_jobs_home_may_die_at_any_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.main.fail_next("enqueue")
        handle = await one.send.enqueue()
        spool = one.failover.carriers["main"]._spool
        monkeypatch.setattr(spool, "done", _dies)
        with pytest.raises(SystemError):
            await one.flush()
        monkeypatch.undo()
        [entry] = await spool.head("main", 9)
        assert entry.tried_ms is not None
        assert await one.run() == [handle.id]
        assert await one.flush() == 1
        assert await one.run() == []


async def _dies(_: object) -> None:
    raise SystemError


async def test_two_processes_at_once_bring_each_job_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.routing.failover.flushing.BATCH", 7)
    async with scene(tmp_path, monkeypatch, breaker_errors=1) as one:
        one.main.fail_next("enqueue")
        ids = [(await one.send.enqueue(n)).id for n in range(100)]
        async with scene(tmp_path, monkeypatch) as other:
            await one.failover.flushers["main"].look()
            await asyncio.gather(*(part.failover.flush() for part in (one, other)))
            assert await one.waiting() == 0
        assert await one.run() == ids


def test_without_a_spool_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom headway import Headway\n"
        f"app = Headway('shop', url='sqlite:///{tmp_path}/jobs.db')\n"
        "@app.task(name='send')\nasync def send() -> None: ...\n"
        "async def main():\n    async with app:\n        await send.enqueue()\n        assert app.failover is None\n"
        "asyncio.run(main())\nsend.sync.enqueue()\n"
        "sys.exit(', '.join(name for name in sys.modules if 'failover' in name) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_blocking_producer_has_it_too(tmp_path: Path) -> None:
    spool = f"sqlite:///{tmp_path / 'spool.db'}"
    app = Headway("shop", url="redis://127.0.0.1:1/0", spool=spool, breaker_timeout=0.2, breaker_pause=60)

    @app.task(name="send")
    def send(number: int) -> None: ...

    handles = [send.sync.enqueue(n) for n in range(3)]
    found = app.sync.jobs.get(*handles)
    assert [one.reason for one in found if one is not None] == [IN_SPOOL] * 3
    app.sync.close()


# --- cancelling ---------------------------------------------------------------------------------------------------


async def test_a_job_that_waits_in_the_spool_is_cancelled_at_once_and_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.breaker().trip("away")
        handle, other = await one.send.options(key="k").enqueue(1), await one.send.enqueue(2)
        assert await handle.cancel("a mistake") is JobState.CANCELLED
        assert await handle.status() is JobState.CANCELLED
        with pytest.raises(JobCancelledError, match="a mistake"):
            await handle.result()
    # Another process brings home what is left: the carrier knows of the job, and that it is cancelled.
    async with scene(tmp_path, monkeypatch) as one:
        assert await one.flush() == 2
        assert await one.run() == [other.id]
        states = {record.id: (record.state, record.reason) for record in await one.on()}
        assert states == {
            handle.id: (JobState.CANCELLED, "a mistake"),
            other.id: (JobState.SUCCEEDED, ""),
        }
        assert await one.waiting() == 0
        assert await one.app.job(handle.id).cancel() is JobState.CANCELLED


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_job_that_its_carrier_may_have_is_cancelled_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, arrived: bool
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.main.fail_next("enqueue", when="after" if arrived else "before")
        handle = await one.send.enqueue(1)
        one.main.fail_next("cancel")
        assert await handle.cancel("late") is JobState.RUNNING  # nobody knows
        with pytest.raises(JobNotFoundError):
            await one.app.job(new_job_id()).cancel()
        assert await one.flush() == 1
        assert await one.run() == []
        [record] = await one.on()
        assert (record.id, record.state, record.reason) == (handle.id, JobState.CANCELLED, "late")


async def test_a_job_that_is_cancelled_while_it_is_brought_is_cancelled_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        one.breaker().trip("away")
        handle = await one.send.enqueue(1)
        one.breaker().looked()
        inner, states = one.main.inner.enqueue, list[JobState]()

        async def slow(jobs: Any) -> Any:
            monkeypatch.setattr(one.main.inner, "enqueue", inner)
            states.append(await handle.cancel("now"))
            return await inner(jobs)

        monkeypatch.setattr(one.main.inner, "enqueue", slow)
        await one.flush()
        assert states == [JobState.RUNNING]
        assert await one.waiting() == 0
        assert await one.run() == []
        assert await handle.status() is JobState.CANCELLED


async def test_a_cancelled_job_of_the_spool_takes_no_other_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(tmp_path, monkeypatch) as one:
        debounced = one.send.options(unique=Unique(mode="debounce"))
        live = await debounced.enqueue(1)
        one.main.fail_next("enqueue")
        dropped = await debounced.enqueue(2)
        one.main.fail_next("cancel")
        await dropped.cancel()
        await one.flush()
        assert await one.run() == [live.id]


async def test_two_processes_that_empty_one_spool_bring_each_job_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.routing.failover.flushing.BATCH", 7)
    async with scene(tmp_path, monkeypatch) as one, scene(tmp_path, monkeypatch) as other:
        one.breaker().trip("away")
        ids = [handle.id for handle in await one.app.enqueue_many([one.send.job(n) for n in range(40)])]
        await one.app.jobs.cancel(ids[5], ids[30])
        one.breaker().looked()

        async def empty(scene: Scene) -> int:
            brought = 0
            while await scene.waiting():
                brought += await scene.flush()
            return brought

        assert sum(await asyncio.gather(empty(one), empty(other))) == 40
        assert (await one.failover.contents()).flushed == 40
        assert (
            one.main.calls["enqueue"] + other.main.calls["enqueue"] == 6
        )  # nobody sent what another one was sending
        assert await one.run() == [job_id for job_id in ids if job_id not in {ids[5], ids[30]}]
