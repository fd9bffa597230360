"""Offloaded calls and results through real workers, on SQLite and on Redis, and what the command line makes of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from headway.clock import SystemClock, from_ms

if TYPE_CHECKING:
    from pathlib import Path

HEADWAY = [sys.executable, "-c", "from headway.cli import main; main()"]
SOURCE = """
import asyncio
from headway import Headway
from headway.codec import is_reference

app = Headway({name!r}, url={url!r}, offload={offload!r}, offload_over=1000)

@app.task(name="here")
async def here(text: str) -> str:
    return text.upper()

@app.task(name="elsewhere", run_in="process", timeout=30)
def elsewhere(text: str) -> str:
    return text.upper()

async def main() -> None:
    async with app:
        jobs = [await here.enqueue("a" * 5000), await elsewhere.enqueue("b" * 5000)]
        jobs += await app.enqueue_many([here.job("c" * 5000)])
        assert is_reference((await jobs[0].record()).raw.payload)
        for job, letter in zip(jobs, "ABC"):
            assert await job.result(timeout=30) == letter * 5000
            assert is_reference((await job.record()).raw.result)
        print(jobs[0].id)

if __name__ == "__main__":
    asyncio.run(main())
    blocking = [here.sync.enqueue(letter * 5000) for letter in "de"]
    assert [job.result(timeout=30) for job in blocking] == ["D" * 5000, "E" * 5000]
    assert is_reference(blocking[1].record().raw.payload)
    app.sync.close()
"""


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.mark.parametrize("carrier", ["sqlite", "redis"])
def test_large_calls_and_results_pass_through_workers(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str, carrier: str
) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.db'}" if carrier == "sqlite" else request.getfixturevalue("redis_url")
    blobs = tmp_path / "blobs"
    source = SOURCE.format(name=namespace, url=url, offload=str(blobs))
    (tmp_path / "shop.py").write_text(source, encoding="utf-8")
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        worker = subprocess.Popen(
            [*HEADWAY, "worker", "shop:app", "--processes", "1"], cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        done = _run(tmp_path, sys.executable, "shop.py")
        assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text(encoding="utf-8")
    finally:
        worker.terminate()
        worker.wait(timeout=30)
    job_id = done.stdout.strip()
    shown = json.loads(_run(tmp_path, *HEADWAY, "jobs", "show", job_id, "--app", "shop:app", "--json").stdout)
    assert (shown["args"], shown["result"]) == (["a" * 5000], "A" * 5000)
    assert "unreadable" not in shown
    _prune(tmp_path, blobs, job_id)


def _prune(folder: Path, blobs: Path, job_id: str) -> None:
    """Make the blobs old; remove what belongs to no job, and only that."""
    (day,) = next(blobs.iterdir()).iterdir()
    old = day.rename(day.with_name(from_ms(SystemClock().now_ms() - 10 * 86_400_000).date().isoformat()))
    stray = next(old.glob("*.call-*"))
    stray.with_name(f"{'0' * 20}.call-{'0' * 16}").write_bytes(b"of no job")
    command = [*HEADWAY, "offload", "prune", "--app", "shop:app"]
    assert _run(folder, *command, "--dry-run").stdout == "1 would be removed, 10 kept\n"
    assert json.loads(_run(folder, *command, "--json").stdout) == {
        "removed": 1,
        "kept": 10,
        "dry_run": False,
    }
    assert len(list(old.iterdir())) == 10
    # The name in the reference still has the day on which it was stored: now there is no such blob.
    shown = json.loads(_run(folder, *HEADWAY, "jobs", "show", job_id, "--app", "shop:app", "--json").stdout)
    assert (shown["args"], shown["result"]) == ([], None)
    assert [text.split(":")[0] for text in shown["unreadable"]] == ["arguments", "result"]


def test_prune_needs_a_store(tmp_path: Path) -> None:
    command = [*HEADWAY, "offload", "prune", "--url", "sqlite:///jobs.db", "--namespace", "shop"]
    refused = _run(tmp_path, *command)
    assert refused.returncode == 2
    assert "the setting offload is empty" in refused.stderr
