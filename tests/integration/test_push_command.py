"""`headway push` as a process, between the emulator and a SQLite guard: run, retry, drain, hand back, crash, refuse."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from headway import Headway
from headway.errors import JobFailedError
from headway.job import JobState
from tests.servers import EmulatorServer, ReceiverServer, free_port
from tests.servers.process import wait_until
from tests.servers.server import answers_200

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

MAIN = "from headway.cli import main; main()"
ACCOUNT = "tasks@shop.iam.gserviceaccount.com"
SOURCE = """
import asyncio, os, pathlib, time
from headway import Context, Headway, Retry

app = Headway("shop")
HERE = pathlib.Path(__file__).parent

@app.task(name="add")
async def add(a: int, b: int) -> int:
    return a + b

@app.task(name="stumble", retry=Retry(initial=0.05, jitter=0))
def stumble(ctx: Context) -> int:
    if ctx.attempt < 3:
        raise ConnectionError("not yet")
    return ctx.attempt

@app.task(name="apart", run_in="process")
def apart() -> int:
    return os.getpid()

@app.task(name="long")
async def long() -> int:
    (HERE / "entered").touch()
    while not (HERE / "open").exists():
        await asyncio.sleep(0.01)
    return os.getpid()

@app.task(name="exits", retry=Retry.never())
async def exits(how: str) -> None:
    async def leave() -> None:
        raise KeyboardInterrupt if how == "interrupt in a child" else SystemExit(3)

    if how == "itself":
        raise SystemExit(3)
    if how == "group":
        async with asyncio.TaskGroup() as group:
            group.create_task(leave())
    elif how == "stop":
        asyncio.get_running_loop().stop()
        raise ValueError("stopped")
    else:
        await asyncio.create_task(leave())

@app.task(name="exits_in_thread", retry=Retry.never())
def exits_in_thread() -> None:
    raise KeyboardInterrupt

@app.task(name="dies")
async def dies(ctx: Context) -> int:
    if not (HERE / "died").exists():
        (HERE / "died").touch()
        os._exit(0)
    return ctx.attempt

@app.task(name="stuck")
def stuck() -> int:
    (HERE / "entered").touch()
    while not (HERE / "open").exists():
        time.sleep(1000 if not (HERE / "open").exists() else 0)
    return os.getpid()
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def environment(emulator: EmulatorServer, folder: Path, namespace: str, port: int) -> dict[str, str]:
    return {
        **emulator.environment,
        "HEADWAY_URL": "cloudtasks://project/europe-west1",
        "HEADWAY_NAMESPACE": namespace,
        "HEADWAY_GUARD": f"sqlite:///{folder}/guard.db",
        "HEADWAY_TARGET": f"http://127.0.0.1:{port}/",
        "HEADWAY_SERVICE_ACCOUNT": ACCOUNT,
        "HEADWAY_TOKEN_KEYS": emulator.certs_url,
    }


@pytest.fixture
def receiver(folder: Path, environment: dict[str, str], port: int) -> Iterator[ReceiverServer]:
    with ReceiverServer(
        "shop:app", folder, environment, "--lease", "5s", "--grace", "3s", port=port
    ) as server:
        yield server


@pytest.fixture
async def app(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Headway]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = Headway("shop")

    @app.task(name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    @app.task(name="exits")
    async def exits(how: str) -> None: ...

    for name in ("stumble", "apart", "long", "stuck", "dies", "exits_in_thread"):

        @app.task(name=name)
        async def other() -> int:
            return 0

    async with app:
        yield app


async def test_jobs_are_pushed_run_and_settled(app: Headway, receiver: ReceiverServer) -> None:
    job = await app.enqueue_many([app.find_task("add").job(1, 2)])
    assert await job[0].result(timeout=20) == 3
    [stumbling] = await app.enqueue_many([app.find_task("stumble").job()])
    assert await stumbling.result(timeout=30) == 3
    [apart] = await app.enqueue_many([app.find_task("apart").job()])
    assert await apart.result(timeout=30) not in {receiver.pid, os.getpid()}


def entered(folder: Path) -> None:
    wait_until((folder / "entered").exists, "the handler runs")


async def test_what_leaves_a_handler_ends_that_job_alone(
    app: Headway, receiver: ReceiverServer, folder: Path
) -> None:
    pid = receiver.pid
    neighbour = (await app.enqueue_many([app.find_task("long").job()]))[0]
    entered(folder)
    ways = ["itself", "child", "interrupt in a child", "group", "stop"]
    jobs = await app.enqueue_many([app.find_task("exits").job(way) for way in ways])
    jobs += await app.enqueue_many([app.find_task("exits_in_thread").job()])
    for job in jobs:
        with pytest.raises(JobFailedError):
            await job.result(timeout=30)
    (folder / "open").touch()
    assert await neighbour.result(timeout=20) == pid  # it runs on in the same process
    log = (folder / "receiver.log").read_text(encoding="utf-8")
    for job in jobs:  # a dead letter is an error in the log, under push as elsewhere
        assert any(str(job.id) in line and "ERROR" in line for line in log.splitlines())


async def test_a_process_that_a_handler_ends_counts_against_its_job(
    app: Headway, receiver: ReceiverServer, folder: Path
) -> None:
    [job] = await app.enqueue_many([app.find_task("dies").job()])
    wait_until((folder / "died").exists, "the handler runs")
    wait_until(lambda: not receiver.running, "the end of the receiver")
    receiver.kill()
    receiver.start()
    assert await job.result(timeout=40) == 2
    (record,) = await app.carrier.get([job.id])
    assert record is not None
    assert record.crashes == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_lets_running_jobs_finish(
    app: Headway, receiver: ReceiverServer, folder: Path, number: signal.Signals
) -> None:
    [job] = await app.enqueue_many([app.find_task("long").job()])
    entered(folder)
    pid = receiver.pid
    os.kill(pid, number)
    (folder / "open").touch()
    assert await job.result(timeout=20) == pid
    wait_until(lambda: not receiver.running, "the end of the receiver")


@pytest.mark.parametrize("task", ["long", "stuck"])
async def test_sigterm_hands_back_within_the_grace_time(
    app: Headway, receiver: ReceiverServer, folder: Path, task: str
) -> None:
    [job] = await app.enqueue_many([app.find_task(task).job()])
    entered(folder)
    first = receiver.pid
    os.kill(first, signal.SIGTERM)
    begun = time.monotonic()
    wait_until(lambda: not receiver.running, "the end of the receiver", timeout=10)
    # Far below what a platform allows beyond the grace time: with 9 s of it, Cloud Run's 10 s are kept.
    assert time.monotonic() - begun < 3 + 2
    (record,) = await app.carrier.get([job.id])
    assert record is not None
    assert (record.state, record.attempt) == (JobState.READY, 0)
    (folder / "open").touch()
    receiver.kill()
    receiver.start()
    assert await job.result(timeout=30) == receiver.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_while_it_opens(
    folder: Path, environment: dict[str, str], number: signal.Signals
) -> None:
    """Its guard answers nothing. Process 1 of a container has no other end than by its own handlers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        guard = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "push", "shop:app", "--port", "0"],
            cwd=folder,
            env=variables({**environment, "HEADWAY_GUARD": guard}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(number)
                output, _ = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, output
    assert "receiver ready" not in output
    assert "Traceback" not in output


async def test_a_killed_receiver_loses_nothing(app: Headway, receiver: ReceiverServer, folder: Path) -> None:
    [job] = await app.enqueue_many([app.find_task("long").job()])
    entered(folder)
    receiver.kill()
    (folder / "open").touch()
    receiver.start()
    assert await job.result(timeout=40) == receiver.pid
    (record,) = await app.carrier.get([job.id])
    assert record is not None
    assert (record.crashes, record.epoch) == (1, 2)


def test_strangers_are_refused(receiver: ReceiverServer) -> None:
    for headers in ({}, {"Authorization": "Bearer a.b.c"}):
        request = urllib.request.Request(receiver.url, data=b"x", headers=headers, method="POST")  # noqa: S310 - our own
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=10)  # noqa: S310 - as above
        with raised.value as error:
            assert (error.code, error.read()) == (401, b"")


def variables(environment: dict[str, str]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    return {**own, **environment}


def run(folder: Path, environment: dict[str, str], *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *args],
        cwd=folder,
        env=variables(environment),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"HEADWAY_URL": "sqlite:///jobs.db"}, "run `headway worker` instead"),
        ({"HEADWAY_GUARD": ""}, "HEADWAY_GUARD"),
        ({"HEADWAY_TARGET": ""}, "HEADWAY_TARGET"),
        ({"HEADWAY_TOKEN_KEYS": "http://keys.example/"}, "token_keys"),
        ({"HEADWAY_PUSH_LEASE": "1s"}, "HEADWAY_PUSH_LEASE"),
    ],
)
def test_what_is_missing_is_named_at_the_start(
    folder: Path, environment: dict[str, str], changes: dict[str, str], told: str
) -> None:
    done = run(folder, {**environment, **changes}, "push", "shop:app", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(
    folder: Path, environment: dict[str, str], emulator: EmulatorServer
) -> None:
    done = run(folder, environment, "push", "shop:app", "--port", str(emulator.port))
    assert done.returncode == 2
    assert f"port {emulator.port}" in done.stderr


def test_a_worker_says_what_to_run_instead(folder: Path, environment: dict[str, str]) -> None:
    done = run(folder, environment, "worker", "shop:app")
    assert done.returncode == 2
    assert "run `headway push` instead" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("streams", ["2>&1 | head -c 1", "2>/dev/full", ">/dev/full 2>/dev/full"])
def test_it_drains_though_nobody_takes_what_it_says(
    folder: Path, environment: dict[str, str], port: int, streams: str
) -> None:
    command = shlex.join([sys.executable, "-c", MAIN, "push", "shop:app", "--port", str(port), "--json"])
    line = f"{{ {command} & echo $! >pid; wait $!; echo $? >code; }} {streams}"
    own = {key: value for key, value in os.environ.items() if not key.startswith(("HEADWAY_", "PORT"))}
    shell = subprocess.Popen(
        ["bash", "-c", line], cwd=folder, env=own | environment, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: answers_200(f"http://127.0.0.1:{port}/ready"), "the receiver", timeout=40)
        os.kill(int((folder / "pid").read_text(encoding="ascii")), signal.SIGTERM)
        shell.wait(20)
        assert (folder / "code").read_text(encoding="ascii").strip() == "0"
    finally:
        shell.kill()
        shell.wait()


def test_empty_variables_count_as_unset(folder: Path, environment: dict[str, str], port: int) -> None:
    empty = dict.fromkeys(("HEADWAY_PUSH_SECRET", "HEADWAY_PUSH_GRACE", "HEADWAY_AUDIENCE", "PORT"), "")
    with ReceiverServer("shop:app", folder, {**environment, **empty}, port=port) as receiver:
        assert receiver.running
