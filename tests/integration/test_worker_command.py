"""`headway worker` and `headway dev` as processes: ready, signals, exit codes, reload."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url
from headway.job import JobId
from headway.runtime.control import WorkerOptions, line
from tests.servers import free_port
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

HEADWAY = [sys.executable, "-c", "from headway.cli import main; main()"]
SOURCE = """
import os
import sys
import time
from pathlib import Path
from headway import Headway

app = Headway("shop")

@app.task(name="answer")
async def answer() -> int:
    return 1

@app.task(name="long")
def long(seconds: float) -> None:
    time.sleep(seconds)

@app.task(name="surroundings")
async def surroundings() -> list[str | bool]:
    held = {os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()}
    return [
        os.path.basename(sys.argv[0]),
        sys.argv[1],
        sys.modules["__main__"].__spec__.name,
        sys.path[0],
        sys.stdout.errors,
        os.read(0, 1).decode(),
        os.getpgid(0) == os.getpid(),
        os.path.realpath("kept open") in held,
    ]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}


@contextmanager
def _serving(
    folder: Path, *args: str, inherited: tuple[int, ...] = ()
) -> Generator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Start `headway ...`, wait for the line that says it is ready, and end it in any case."""
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*HEADWAY, *args, "--json"],
            cwd=folder,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            pass_fds=inherited,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "log").read_text(encoding="utf-8")
            yield process, json.loads(line)
        finally:
            process.kill()
            process.communicate(timeout=20)


def _run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HEADWAY, *args],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_ready_run_drain(folder: Path) -> None:
    with _serving(folder, "worker", "shop:app", "--processes", "2", "--lease", "2s") as (process, ready):
        assert ready["event"] == "ready"
        assert len(ready["processes"]) == 2
        assert _run(folder, "enqueue", "shop:app", "answer", "--wait=20s").stdout.strip() == "1"
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        rest = (
            process.stdout.read()
        )  # not communicate(): it passes over what the first line's buffer holds already
        assert process.wait(20) == 0
        assert json.loads(rest)["event"] == "ended"
    log = (folder / "log").read_text(encoding="utf-8")
    assert "headway: worker ready: shop:app" in log
    assert "headway: draining" in log


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each worker is a program of its own")
def test_the_first_worker_is_forked_and_like_those_that_replace_it(folder: Path) -> None:
    def surroundings() -> list[str | bool]:
        done = _run(folder, "enqueue", "shop:app", "surroundings", "--wait=20s")
        found: list[str | bool] = json.loads(done.stdout)
        return found

    with (folder / "kept open").open("w", encoding="utf-8") as file:
        serving = _serving(folder, "worker", "shop:app", "--processes", "1", inherited=(file.fileno(),))
        with serving as (process, ready):
            (pid,) = ready["processes"]
            supervisors = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            assert Path(f"/proc/{pid}/cmdline").read_bytes() == supervisors
            first = surroundings()
            os.kill(pid, signal.SIGKILL)
            assert surroundings() == first
    program = ["child.py", line(WorkerOptions("shop:app")).decode(), "headway.runtime.child"]
    assert first == [*program, str(folder), first[4], "", True, False]


@pytest.mark.parametrize(
    "streams", ["2>&1 | head -c 1", "2>/dev/full", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"]
)
def test_it_drains_and_ends_well_though_nobody_takes_what_it_says(folder: Path, streams: str) -> None:
    """A log that cannot be written, a reader that has gone: promise 5 needs a clean end all the same."""
    worker = " ".join(
        shlex.quote(word) for word in [*HEADWAY, "worker", "shop:app", "--processes", "1", "--json"]
    )
    # The shell tells the worker's id, and passes on how it ended.
    line = f"{{ {worker} & echo $! >pid; wait $!; echo $? >code; }} {streams}"
    shell = subprocess.Popen(["bash", "-c", line], cwd=folder, env=_environment(), stdout=subprocess.DEVNULL)
    try:
        assert _run(folder, "enqueue", "shop:app", "answer", "--wait=20s").stdout.strip() == "1"
        os.kill(int((folder / "pid").read_text(encoding="ascii")), signal.SIGTERM)
        shell.wait(20)
        assert (folder / "code").read_text(encoding="ascii").strip() == "0"
    finally:
        shell.kill()
        shell.wait()


def test_the_second_signal_does_not_wait(folder: Path) -> None:
    with _serving(folder, "worker", "shop:app", "--processes", "1", "--grace", "60s") as (process, _):
        job = _run(folder, "enqueue", "shop:app", "long", "50").stdout.strip()
        state = ""
        while state != "running":  # bounded by the test's own time limit
            state = json.loads(_run(folder, "jobs", "show", job, "--app", "shop:app", "--json").stdout)[
                "state"
            ]
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0
    # Handed back at once, not after the lease.
    assert (
        json.loads(_run(folder, "jobs", "show", job, "--app", "shop:app", "--json").stdout)["state"]
        == "ready"
    )


def test_ctrl_c_ends_a_watch_quietly(folder: Path) -> None:
    job = JobId(_run(folder, "enqueue", "shop:app", "answer").stdout.strip())
    done = threading.Event()

    async def act() -> None:
        async with from_url(f"sqlite:///{folder / 'headway.db'}", BrokerSettings("shop")) as carrier:
            while not done.is_set():
                await carrier.cancel([job])
                await carrier.retry([job])

    actor = threading.Thread(target=lambda: asyncio.run(act()))
    watch = subprocess.Popen(
        [*HEADWAY, "jobs", "watch", "--app", "shop:app", "--json"],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    actor.start()
    try:
        assert watch.stdout is not None
        assert json.loads(watch.stdout.readline())["job_id"] == job
        watch.send_signal(signal.SIGINT)
        _, said = watch.communicate(timeout=20)
    finally:
        done.set()
        watch.kill()
        watch.communicate(timeout=20)
        actor.join()
    assert (watch.returncode, said.strip()) == (130, "")


@pytest.mark.parametrize(
    ("app", "said"), [("nosuch:app", "there is no module 'nosuch'"), ("shop:nosuch", "it has app")]
)
def test_an_app_that_cannot_be_loaded_is_exit_code_2(folder: Path, app: str, said: str) -> None:
    done = _run(folder, "worker", app)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_dev_starts_anew_when_a_file_changes(folder: Path) -> None:
    with _serving(folder, "dev", "shop:app", "--no-dashboard"):
        assert _run(folder, "enqueue", "shop:app", "answer", "--wait=20s").stdout.strip() == "1"
        (folder / "shop.py").write_text(SOURCE.replace("return 1", "return 22"), encoding="utf-8")
        answer = "1"
        while answer == "1":  # until the new code answers; bounded by the test's own time limit
            answer = _run(folder, "enqueue", "shop:app", "answer", "--wait=20s").stdout.strip()
        assert answer == "22"
    assert "reload: " in (folder / "log").read_text(encoding="utf-8")


def test_dev_serves_the_dashboard_which_starts_anew_with_the_code(folder: Path) -> None:
    port = free_port()
    with _serving(folder, "dev", "shop:app", "--port", str(port)):
        assert "answer" in wait_until(lambda: _page(port, "/new"), "the dashboard")
        source = (folder / "shop.py").read_text(encoding="utf-8")
        (folder / "shop.py").write_text(source.replace('name="answer"', 'name="reply"'), encoding="utf-8")
        wait_until(lambda: "reply" in _page(port, "/new"), "the dashboard of the new code")
        taken = _run(folder, "dev", "shop:app", "--port", str(port))
        assert taken.returncode == 2
        assert f"--port {port}" in taken.stderr
    wait_until(lambda: not _page(port, "/new"), "the end of the dashboard")


def _page(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""
