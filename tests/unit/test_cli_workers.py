from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner

from headway.brokers.base import BrokerSettings, QueueWant, WorkerRecord
from headway.brokers.url import from_url, pulled
from headway.cli.root import cli
from headway.cli.workers import worker_fields
from headway.job import JobRecord, JobState, NewJob, WorkerId, new_job_id

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.unit.cli_shop import Shop


def _job(worker: str, queue: str, started_ms: int) -> JobRecord:
    return JobRecord(
        id=new_job_id(), task="t", queue=queue, state=JobState.RUNNING, priority=5, payload=b"",
        worker=WorkerId(worker), started_ms=started_ms,
    )  # fmt: skip


def test_each_worker_with_its_place_its_queues_and_since_when_it_works() -> None:
    found = worker_fields(
        [WorkerRecord(WorkerId("web-1.example-4711-abc123"), 10_000, 3)],
        [
            _job("web-1.example-4711-abc123", "reports", 2000),
            _job("web-1.example-4711-abc123", "email", 1000),
            _job("odd", "email", 0),
        ],
    )
    assert found[0] == {
        "worker": "odd", "host": None, "pid": None, "queues": ["email"], "running": 1,
        "since": "1970-01-01T00:00:00.000Z", "lease_until": None, "draining": False,
    }  # fmt: skip
    assert found[1] == {
        "worker": "web-1.example-4711-abc123", "host": "web-1.example", "pid": 4711,
        "queues": ["email", "reports"], "running": 3,
        "since": "1970-01-01T00:00:01.000Z", "lease_until": "1970-01-01T00:00:10.000Z",
        "draining": False,
    }  # fmt: skip


def test_the_command_lists_who_runs_jobs(shop: Shop) -> None:
    assert shop.ok("workers", *shop.target) == "nobody runs a job now\n"
    shop.enqueue("report", "q1")
    shop.claim("reports")
    (worker,) = shop.json("workers", *shop.target)["workers"]
    assert (worker["worker"], worker["queues"], worker["running"]) == ("w", ["reports"], 1)
    head, line = shop.ok("workers", *shop.target).splitlines()
    assert head.split() == ["WORKER", "HOST", "PID", "QUEUES", "RUNNING", "SINCE"]
    assert line.split()[:5] == ["w", "-", "-", "reports", "1"]
    by_name = shop.run("workers", "--url", "sqlite:///headway.db", "--namespace", "shop", "--json")
    assert len(json.loads(by_name.stdout)["workers"]) == 1


def test_a_worker_is_asked_to_drain(shop: Shop) -> None:
    shop.enqueue("report", "q1")
    shop.claim("reports")
    assert shop.ok("workers", "drain", "w", *shop.target).startswith("worker w drains: ")
    assert shop.json("workers", "drain", "w", *shop.target) == {"worker": "w", "carriers": ["main"]}
    assert shop.json("workers", "list", *shop.target)["workers"][0]["draining"]
    assert "1, drains" in shop.ok("workers", *shop.target)
    nobody = shop.run("workers", "drain", "v", *shop.target)
    assert (nobody.exit_code, nobody.stderr) == (
        1,
        "headway: no worker 'v' is there; `headway workers` lists them\n",
    )


def test_where_there_are_several_carriers_each_worker_names_those_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("main", "east", "west")}
    (tmp_path / "several_shop.py").write_text(
        f"from headway import Headway\napp = Headway('shop', carriers={urls!r})\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "several_shop", raising=False)

    async def hold() -> None:
        for name in ("main", "east"):
            async with from_url(urls[name], BrokerSettings("shop")) as store:
                carrier = pulled(store)
                await carrier.enqueue([NewJob(id=new_job_id(), task="t", queue="q", payload=b"")])
                await carrier.claim([QueueWant("q", 1)], worker=WorkerId("w"), limit=1, lease_ms=60_000)

    asyncio.run(hold())
    run = CliRunner().invoke(cli, ["workers", "--app", "several_shop:app", "--json"])
    [worker] = json.loads(run.output)["workers"]
    assert (worker["worker"], worker["carriers"], worker["running"]) == ("w", ["main", "east"], 2)
    head, line = CliRunner().invoke(cli, ["workers", "--app", "several_shop:app"]).output.splitlines()
    assert head.split() == ["WORKER", "HOST", "PID", "CARRIERS", "QUEUES", "RUNNING", "SINCE"]
    assert line.split()[:6] == ["w", "-", "-", "main,", "east", "q"]
