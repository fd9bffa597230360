"""A task that was renamed runs the jobs that wait under its old name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from headway import Headway
from headway.codec import decode_result
from headway.job import JobState, Succeeded
from headway.runtime.executor import Executor
from headway.runtime.run import JobRun
from headway.runtime.threads import Threads

if TYPE_CHECKING:
    from headway.job import Lease
    from tests.conformance.scene import Scene


class _Silent:
    """A reporter of a job that reports nothing."""

    def progress(self, lease: Lease, fraction: float, message: str) -> None: ...
    def log(self, lease: Lease, level: str, message: str) -> None: ...
    async def flush(self, lease: Lease) -> None: ...

    def busy(self, _lease: Lease) -> bool:
        return False


async def double(number: int) -> int:
    return 2 * number


async def test_a_job_that_waits_under_an_old_name_runs(scene: Scene) -> None:
    before, after = Headway("aliases"), Headway("aliases")
    old: Any = before.task(name="shop.double", queue="q")(double)
    after.task(name="pkg.shop.double", queue="q", aliases=["other.double", "shop.double"])(double)
    job_id = await scene.put(structs.replace(old.job(21).new, id=scene.job().id))

    delivery = await scene.take_one()
    outcome = await Executor(after, threads=Threads(1)).run(JobRun(delivery, _Silent()))

    assert isinstance(outcome, Succeeded)
    await scene.finish(delivery, outcome)
    record = await scene.record(job_id)
    assert (record.state, record.task) == (JobState.SUCCEEDED, "shop.double")
    assert decode_result(record.result) == 42
