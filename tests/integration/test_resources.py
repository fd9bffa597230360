"""Resources and middleware in the processes that run jobs: workers, processes of single jobs, receivers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from headway import Context, Headway, JobCall, Proceed
from headway.errors import DeclarationError
from headway.job import Delivery, Lease, Outcome, Released, RetryAt, Succeeded, WorkerId, new_job_id
from headway.push import receiver
from headway.runtime.executor import Executor
from headway.runtime.processes import Processes
from headway.runtime.run import JobRun, Stop
from headway.runtime.threads import Threads
from headway.runtime.worker import Worker
from tests.faults.until import until
from tests.integration.resource_shop import app as shop_app
from tests.integration.test_job_processes import Quiet
from tests.unit.push_scene import Call, FakePush, post

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

WORKER: Final = [sys.executable, "-c", "from headway.cli import main; main()", "worker"]
APP: Final = "tests.integration.resource_shop:app"


class Shop:
    """The shop of `resource_shop` on a file of its own, as its producer sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = folder / "book"
        self.away = folder / "away"
        self.log = folder / "log"
        url = f"sqlite:///{folder / 'shop.db'}"
        self.environment = {**os.environ, "HEADWAY_URL": url, "RESOURCE_BOOK": str(self.book)}
        self.app = Headway("resource_shop", url=url)

        def task(name: str) -> Any:
            async def declared() -> list[str]:
                raise NotImplementedError

            return self.app.task(name=name)(declared)

        self.tasks = {name: task(name) for name in ("on_the_loop", "in_a_thread", "apart")}

    @asynccontextmanager
    async def worker(self, *options: str) -> AsyncIterator[Process]:
        with self.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *WORKER, APP, "--processes", "1", *options, env=self.environment, stdout=log, stderr=log
            )
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()

    def lines(self) -> list[tuple[str, str]]:
        text = self.book.read_text(encoding="utf-8") if self.book.exists() else ""
        return [(pid, line) for pid, _, line in (line.partition(" ") for line in text.splitlines())]

    def of(self, pid: str) -> list[str]:
        return [line for by, line in self.lines() if by == pid]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


WHOLE: Final = ["open db", "open files", "close files", "close db"]


async def test_a_worker_and_the_process_of_a_job_open_them_once_and_close_them_behind_the_drain(
    shop: Shop,
) -> None:
    async with shop.app, shop.worker() as worker:
        found = {}
        for name, task in shop.tasks.items():
            for _ in range(2):
                job = await task.options(headers={"tenant": "acme"}).enqueue()
                found[name] = await job.result(timeout=40)
        for name, (pid, db, files, around) in found.items():
            assert db == f"db of {pid}"
            assert files == f"files beside the db of {pid}"
            assert around == f"{name} of acme with the db of {pid}"
        loop, thread, apart = (found[name][0] for name in shop.tasks)
        assert loop == thread != apart
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 30) == 0
    assert shop.of(loop) == WHOLE
    assert shop.of(apart) == WHOLE


async def test_a_worker_claims_nothing_before_they_are_open_and_says_so_once(shop: Shop) -> None:
    shop.away.touch()
    async with shop.app, shop.worker() as worker:
        job = await shop.tasks["on_the_loop"].options(headers={"tenant": "acme"}).enqueue()
        await until(lambda: len(shop.lines()) >= 3, "it tries again and again", 30)
        record = await job.record()
        assert (record.state, record.attempt) == ("ready", 0)
        shop.away.unlink()
        pid, *_ = await job.result(timeout=30)
        assert set(shop.of(pid)[:-2]) == {"try db"}
        assert shop.of(pid)[-2:] == ["open db", "open files"]
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 30) == 0
    log = shop.log.read_text(encoding="utf-8")
    assert (
        log.count("resource 'tests.integration.resource_shop.db' cannot be opened, tried again until it can")
        == 1
    )
    assert log.count("resource 'tests.integration.resource_shop.db' is open, after") == 1


async def test_a_worker_that_is_stopped_meanwhile_leaves(shop: Shop) -> None:
    shop.away.touch()
    async with shop.worker() as worker:
        await until(lambda: bool(shop.lines()), "it tries", 30)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(worker.wait(), 30) == 0
    assert {line for _, line in shop.lines()} == {"try db"}


async def test_a_resource_that_does_not_close_keeps_no_worker_longer_than_its_supervisor_waits(
    tmp_path: Path,
) -> None:
    (tmp_path / "hangs.py").write_text(
        "import asyncio\n"
        "from headway import Headway\n"
        "app = Headway('hangs', grace=0)\n"
        "@app.task(name='a')\n"
        "async def a() -> None: ...\n"
        "@app.resource\n"
        "async def db():\n"
        "    yield 1\n"
        "    await asyncio.Event().wait()\n",
        encoding="utf-8",
    )
    process = await asyncio.create_subprocess_exec(
        *WORKER, "hangs:app", "--processes", "1", cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(40):
        while b"ready" not in said:
            said += await process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        said += await process.stderr.read()
        assert await process.wait() == 0
    assert b"resource 'hangs.db' was not closed in time" in said
    assert b"did not end within its grace time" not in said


async def test_what_is_written_wrongly_ends_the_command_at_once(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(
        "from headway import Headway\n"
        "app = Headway('wrong')\n"
        "@app.task(name='a')\n"
        "async def a() -> None: ...\n"
        "@app.resource\n"
        "def db():\n"
        "    yield from ()\n",
        encoding="utf-8",
    )
    process = await asyncio.create_subprocess_exec(
        *WORKER, "wrong:app", "--processes", "1", cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 2
    assert b"resource 'wrong.db' yielded nothing: it must yield once" in said


async def test_a_worker_within_a_program_raises_what_is_written_wrongly(tmp_path: Path) -> None:
    app = Headway("within", url=f"sqlite:///{tmp_path / 'within.db'}")

    @app.resource
    def db() -> Iterator[int]:
        yield from ()

    @app.task
    async def ask(ctx: Context) -> int:
        return ctx.resource(db)

    async with app:
        with pytest.raises(DeclarationError, match="yielded nothing"):
            await Worker(app, queues=[ask.options_declared.queue]).run()


# --- the process of a job ---------------------------------------------------------------------------------------


def apart_of(tenant: str) -> Delivery:
    """A job for a process of its own."""
    payload = shop_app.find_task("apart").options(headers={"tenant": tenant}).job().new.payload
    return Delivery(Lease(new_job_id(), WorkerId("w"), 1), "apart", "q", payload, 5, 1, 0)


async def test_a_job_whose_process_lacks_a_resource_is_put_off_without_an_attempt(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.runtime.processes.START_SECONDS", 5.0)
    monkeypatch.setenv("RESOURCE_BOOK", str(shop.book))
    shop.away.touch()
    processes = Processes(APP, kill_after=0.5, close_seconds=5.0)
    threads = Threads(1)
    executor = Executor(shop_app, threads=threads, processes=processes)

    async def run() -> Outcome:
        return await asyncio.wait_for(executor.run(JobRun(apart_of("acme"), Quiet())), 40)

    try:
        outcome = await run()
        assert isinstance(outcome, RetryAt)
        assert not outcome.counted
        shop.away.unlink()
        assert isinstance(await run(), Succeeded)
    finally:
        await processes.close()
        threads.close()
    assert [line for _, line in shop.lines()][-4:] == WHOLE


async def test_a_job_that_is_stopped_while_its_process_starts_is_handed_back_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESOURCE_BOOK", str(shop.book))
    shop.away.touch()
    processes = Processes(APP, kill_after=0.5, close_seconds=5.0)
    threads = Threads(1)
    executor = Executor(shop_app, threads=threads, processes=processes)
    run = JobRun(apart_of("acme"), Quiet())
    try:
        running = asyncio.create_task(executor.run(run))
        await until(lambda: bool(shop.lines()), "its process tries", 30)
        run.interrupt(Stop.DRAIN)
        assert await asyncio.wait_for(running, 20) == Released()
    finally:
        await processes.close()
        threads.close()


# --- a receiver -------------------------------------------------------------------------------------------------


class Pushed:
    """A receiver over a carrier that only notes, with a database that may be away."""

    def __init__(self) -> None:
        self.fake = FakePush()
        self.lines: list[str] = []
        self.away = False
        self.back = asyncio.Event()
        self.app = Headway("pushed", carrier=self.fake.carrier)

        @self.app.resource
        async def db() -> AsyncIterator[str]:
            if self.away:
                self.lines.append("try")
                msg = "the database is away"
                raise ConnectionError(msg)
            self.lines.append("open")
            self.back.set()
            yield "db"
            self.lines.append("close")

        @self.app.middleware
        async def around(call: JobCall, proceed: Proceed) -> Any:
            self.lines.append(f"around {call.task}")
            return await proceed()

        @self.app.task(name="on_the_loop")
        async def on_the_loop(ctx: Context) -> None:
            self.lines.append(ctx.resource(db))

        @self.app.task(name="in_a_thread")
        def in_a_thread(ctx: Context) -> None:
            self.lines.append(ctx.resource(db))


async def test_a_receiver_opens_them_before_its_first_job_and_closes_them_behind_the_drain() -> None:
    pushed = Pushed()
    async with receiver(pushed.app, handle_sigterm=False) as made:
        assert pushed.lines == ["open"]
        assert (await post(made, "on_the_loop")).status == 200
        assert (await post(made, "in_a_thread")).status == 200
    assert pushed.lines == ["open", "around on_the_loop", "db", "around in_a_thread", "db", "close"]
    assert pushed.fake.closed == 1


async def test_a_receiver_tells_jobs_to_come_back_until_they_are_open() -> None:
    pushed = Pushed()
    pushed.away = True
    async with receiver(pushed.app, handle_sigterm=False) as made:
        assert pushed.lines[0] == "try"
        assert (await Call(made, method="GET", path="/ready").start().answer()).status == 503
        answer = await post(made, "on_the_loop")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert not pushed.fake.requests  # nothing was taken
        pushed.away = False
        await asyncio.wait_for(pushed.back.wait(), 20)
        await asyncio.sleep(0)
        assert (await post(made, "on_the_loop")).status == 200
        assert (await Call(made, method="GET", path="/ready").start().answer()).status == 200
    assert pushed.lines[-4:] == ["open", "around on_the_loop", "db", "close"]


async def test_a_receiver_with_a_resource_that_is_written_wrongly_does_not_open() -> None:
    pushed = Pushed()

    @pushed.app.resource
    def wrong() -> Iterator[int]:
        yield from ()

    with pytest.raises(DeclarationError, match="yielded nothing"):
        await receiver(pushed.app, handle_sigterm=False).open()
    assert pushed.lines == ["open", "close"]
    assert (pushed.fake.opened, pushed.fake.closed) == (1, 1)
