"""The reason that is given when a running job is cancelled is what its record shows, however the job runs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from headway.brokers.base import BrokerSettings
from headway.brokers.url import from_url
from headway.job import JobId, JobState

if TYPE_CHECKING:
    from pathlib import Path

    from headway.brokers.base import Store

HEADWAY: Final = [sys.executable, "-c", "from headway.cli import main; main()"]
MODES: Final = ("on_loop", "in_thread", "in_process", "deaf_process")
SOURCE: Final = """
import asyncio
import time

from headway import Headway

app = Headway("shop", kill_after=0.5)

@app.task(name="on_loop")
async def on_loop() -> None:
    await asyncio.sleep(50)

def turn() -> None:
    while True:
        time.sleep(0.01)

app.task(name="in_thread")(turn)

@app.task(name="in_process", run_in="process")
def in_process() -> None:
    turn()

@app.task(name="deaf_process", run_in="process")
def deaf_process() -> None:
    time.sleep(50)
"""


async def _until(carrier: Store, job: JobId, state: JobState) -> str:
    """Wait for the state (the test's own time limit ends that); return the reason."""
    while True:
        (record,) = await carrier.get([job])
        assert record is not None
        if record.state is state:
            return record.reason
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_the_reason_given_is_what_the_record_shows(
    kind: str, tmp_path: Path, redis_url: str, namespace: str
) -> None:
    (tmp_path / "shop.py").write_text(SOURCE, encoding="utf-8")
    url = redis_url if kind == "redis" else f"sqlite:///{tmp_path / 'headway.db'}"
    environment = {name: text for name, text in os.environ.items() if not name.startswith("HEADWAY_")}
    environment |= {"HEADWAY_APP": "shop:app", "HEADWAY_URL": url, "HEADWAY_NAMESPACE": namespace}

    async def run(*words: str) -> str:
        command = await asyncio.create_subprocess_exec(
            *HEADWAY, *words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE
        )
        return (await command.communicate())[0].decode().strip()

    worker = await asyncio.create_subprocess_exec(
        *HEADWAY, "worker", "--processes", "1", cwd=tmp_path, env=environment
    )
    try:
        async with from_url(url, BrokerSettings(namespace)) as carrier:
            jobs = {mode: JobId(await run("enqueue", mode)) for mode in MODES}
            for job in jobs.values():
                await _until(carrier, job, JobState.RUNNING)
            said = await run("jobs", "cancel", *jobs.values(), "--reason", "too slow")
            assert said.splitlines() == [f"{job} asked to stop" for job in jobs.values()]
            reasons = {mode: await _until(carrier, job, JobState.CANCELLED) for mode, job in jobs.items()}
            assert reasons == dict.fromkeys(MODES, "too slow")
    finally:
        worker.terminate()
        await worker.wait()
