"""What a worker and the processes of its jobs log: how it looks, which job it is of, and that the application's way wins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEADWAY: Final = [sys.executable, "-c", "from headway.cli import main; main()"]
MODES: Final = ("async", "thread", "process")
SOURCE: Final = """
import asyncio
import logging
import threading

from headway import Headway
{setup}
app = Headway("shop")
log = logging.getLogger("shop.jobs")

@app.task(name="async")
async def on_loop() -> None:
    log.info("hello from %s", "async", extra={{"order": 7}})
    await asyncio.create_task(child())

async def child() -> None:
    log.debug("child of async")

@app.task(name="thread")
def in_thread() -> None:
    log.info("hello from %s", "thread")

@app.task(name="process", run_in="process")
def in_process() -> None:
    log.info("hello from %s", "process")
    try:
        raise ValueError("in process")
    except ValueError:
        log.exception("failed")
"""


def _log_of(folder: Path, setup: str, *options: str, **variables: str) -> list[str]:
    """Run a job in each mode; return the lines of the worker's log."""
    (folder / "shop.py").write_text(SOURCE.format(setup=setup), encoding="utf-8")
    environment = {name: text for name, text in os.environ.items() if not name.startswith("HEADWAY_")}
    environment |= {"HEADWAY_APP": "shop:app", **variables}
    log = folder / "log"
    with log.open("w", encoding="utf-8") as stream:
        worker = subprocess.Popen(
            [*HEADWAY, "worker", "--processes", "1", *options], cwd=folder, env=environment, stderr=stream
        )
        try:
            for mode in MODES:
                subprocess.run(
                    [*HEADWAY, "enqueue", mode, "--wait=40s"],
                    cwd=folder, env=environment, capture_output=True, timeout=50, check=True,
                )  # fmt: skip
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
        finally:
            worker.kill()
            worker.wait()
    return log.read_text(encoding="utf-8").splitlines()


def test_text_tells_the_job_in_every_mode(tmp_path: Path) -> None:
    lines = _log_of(tmp_path, "")
    for mode in MODES:
        (line,) = [line for line in lines if f"hello from {mode}" in line]
        assert " INFO " in line
        assert " shop.jobs: hello from" in line
        assert line.endswith(f", {mode}, attempt 1]")
        assert "[job 0" in line
    assert "ValueError: in process" in lines
    assert not [line for line in lines if "child of async" in line], "DEBUG was not asked for"


@pytest.mark.parametrize("how", ["options", "variables"])
def test_json_is_one_object_a_line(tmp_path: Path, how: str) -> None:
    lines = (
        _log_of(tmp_path, "", "--log-format", "json", "--log-level", "debug")
        if how == "options"
        else _log_of(tmp_path, "", HEADWAY_LOG_FORMAT="json", HEADWAY_LOG_LEVEL="DEBUG")
    )
    records = [json.loads(line) for line in lines if not line.startswith("headway: ")]
    by_message = {record["message"]: record for record in records}
    for mode in MODES:
        record = by_message[f"hello from {mode}"]
        assert (record["level"], record["logger"], record["task"], record["attempt"]) == (
            "INFO",
            "shop.jobs",
            mode,
            1,
        )
        assert len(record["job_id"]) == 20
    assert by_message["hello from async"]["order"] == 7
    assert by_message["child of async"]["job_id"] == by_message["hello from async"]["job_id"]
    assert "ValueError: in process" in by_message["failed"]["traceback"]


@pytest.mark.parametrize(
    "setup",
    [
        'logging.basicConfig(level="INFO", format="APP %(message)s task=%(task)s job=%(job_id)s")',
        """
import logging.config
logging.config.dictConfig({
    "version": 1,
    "formatters": {"app": {"format": "APP %(message)s task=%(task)s job=%(job_id)s"}},
    "handlers": {"app": {"class": "logging.StreamHandler", "formatter": "app"}},
    "root": {"level": "INFO", "handlers": ["app"]},
})
""",
    ],
    ids=["basicConfig", "dictConfig"],
)
def test_the_applications_own_set_up_wins(tmp_path: Path, setup: str) -> None:
    lines = _log_of(tmp_path, setup, "--log-format", "json", "--log-level", "debug")
    for mode in MODES:
        (line,) = [line for line in lines if f"hello from {mode}" in line]
        assert line.startswith(f"APP hello from {mode} task={mode} job=0")
