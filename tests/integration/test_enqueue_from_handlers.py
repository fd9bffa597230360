"""A handler enqueues, waits and looks the same way wherever it runs: on the loop, in a thread, in a process, on its own loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import RedisServer

HEADWAY: Final = [sys.executable, "-c", "from headway.cli import main; main()"]
TASKS: Final = ("on_loop", "in_thread", "loop_in_thread", "process", "sync_process", "loop_in_process")
SOURCE: Final = """
import asyncio

from headway import Context, Headway

app = Headway("shop", lease="5s")

@app.task(name="double")
def double(n: int) -> int:
    return 2 * n

async def ask() -> int:
    job = await double.enqueue(4)
    several = await app.enqueue_many(double.job(n) for n in range(3))
    first = await job.result(timeout=60)
    rest = [await one.result(timeout=60) for one in several]
    assert (await app.carrier.counts())[0].queue == "default"
    return first + sum(rest)

@app.task(name="on_loop")
async def on_loop() -> int:
    return await ask()

@app.task(name="in_thread")
def in_thread() -> int:
    return double.sync.enqueue(7).result(timeout=60)

@app.task(name="loop_in_thread")
def loop_in_thread(ctx: Context) -> int:
    return asyncio.run(ask())

@app.task(name="process", run_in="process")
async def process(ctx: Context) -> int:
    assert ctx.app is app
    return await ask()

@app.task(name="sync_process", run_in="process")
def sync_process() -> int:
    return double.sync.enqueue(7).result(timeout=60)

@app.task(name="loop_in_process", run_in="process")
def loop_in_process() -> int:
    return asyncio.run(ask())
"""


@pytest.mark.timeout(240)
@pytest.mark.parametrize("carrier", ["sqlite", "redis"])
def test_a_handler_enqueues_wherever_it_runs(
    tmp_path: Path, carrier: str, redis_server: RedisServer, namespace: str
) -> None:
    (tmp_path / "shop.py").write_text(SOURCE, encoding="utf-8")
    environment = {name: text for name, text in os.environ.items() if not name.startswith("HEADWAY_")}
    environment |= {
        "HEADWAY_APP": "shop:app",
        "HEADWAY_NAMESPACE": namespace,
        "HEADWAY_URL": redis_server.url if carrier == "redis" else f"sqlite:///{tmp_path / 'jobs.db'}",
    }
    worker = subprocess.Popen(
        [*HEADWAY, "worker", "--processes", "1"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        for task in TASKS:
            answer = subprocess.run(
                [*HEADWAY, "enqueue", task, "--wait=90s"],
                cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False,
            )  # fmt: skip
            assert (answer.returncode, answer.stdout.splitlines()[-1:]) == (0, ["14"]), (task, answer.stderr)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.wait()
