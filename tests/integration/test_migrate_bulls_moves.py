"""Jobs of BullMQ and Bull brought along by the command, and back, with the real libraries on the other side."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest

from headway import Headway
from headway.codec import decode_history, describe
from headway.job import JobState
from tests.integration.bulls import cron
from tests.servers.node_libraries import (
    LIBRARIES,
    NodeLibrary,
    NodeMissingError,
    installed,
    ledger_lines,
    wait_for_lines,
    worker,
)
from tests.servers.process import ServerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headway.job import JobRecord

HEADWAY: Final = [sys.executable, "-c", "from headway.cli import main; main()"]
APP: Final = """
import json
import os
import time

from headway import Headway

app = Headway("shop")
book = os.open(os.environ["OUR_BOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

@app.task(queue="mail")
async def send(n: int) -> None:
    os.write(book, (json.dumps({"n": n, "at": time.time() * 1000}) + "\\n").encode())
"""
MAP: Final = """
[[job]]
name = "send"
task = "shop.send"
arguments = "fields"
drop = ["plan"]
"""


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    try:
        installed()
    except NodeMissingError as error:
        pytest.skip(str(error))
    return str(request.param)


class Shop:
    """An app in a folder, on SQLite, and a prefix of a Redis with the old system."""

    def __init__(self, library: str, url: str, prefix: str, folder: Path) -> None:
        self.folder, self.library, self.url, self.prefix = folder, library, url, prefix
        self.book = folder / "ours"
        self.store = f"sqlite:///{folder / 'shop.db'}"
        (folder / "shop.py").write_text(APP, encoding="utf-8")
        (folder / "map.toml").write_text(MAP, encoding="utf-8")
        own = {name: text for name, text in os.environ.items() if not name.startswith("HEADWAY_")}
        self.environment = {
            **own,
            "HEADWAY_APP": "shop:app",
            "HEADWAY_URL": self.store,
            "HEADWAY_MIGRATE_SOURCE": url,
            "OUR_BOOK": str(self.book),
        }

    def migrate(self, command: str, *words: str, code: int = 0) -> Any:
        """Run `headway migrate` and return what it printed as JSON."""
        source = ["--from", self.library.rstrip("0123456789"), "--prefix", self.prefix, "--map", "map.toml"]
        done = subprocess.run(
            [*HEADWAY, "migrate", command, *source, "--json", *words],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def worker(self, stack: ExitStack) -> ServerProcess:
        """Start our worker."""
        process = ServerProcess(
            [*HEADWAY, "worker", "--processes", "1"], self.folder / "worker.log", environment=self.environment
        )
        process.start()
        stack.callback(process.kill)
        return process

    def records(self) -> list[JobRecord]:
        """Return the records of all jobs that are here."""

        async def read() -> list[JobRecord]:
            async with Headway("shop", url=self.store) as app:
                found = [job.id for job in (await app.jobs.list()).jobs]
                return [record for record in await app.carrier.get(found) if record is not None]

        return asyncio.run(read())


@pytest.fixture
def shop(library: str, redis_url: str, namespace: str, tmp_path: Path) -> Shop:
    return Shop(library, redis_url, namespace, tmp_path)


@pytest.fixture
def old(library: str, redis_url: str, namespace: str) -> Iterator[NodeLibrary]:
    with NodeLibrary(library, redis_url, namespace) as running:
        yield running


def test_every_state_arrives_and_goes_back(
    shop: Shop, old: NodeLibrary, library: str, tmp_path: Path
) -> None:
    delay = 3_600_000
    old.add("q", "send", {"n": 0, "plan": {"fail": 1}}, attempts=4, backoff={"type": "fixed", "delay": delay})
    old.work("q", 1)
    sent: dict[int, dict[str, Any]] = {
        1: {},
        2: {"priority": 1},
        3: {"priority": 1000},
        4: {"delay": delay},
        5: {"attempts": 3, "jobId": "own"},
    }
    ids = {n: old.add("q", "send", {"n": n}, **opts) for n, opts in sent.items()}
    left = old.add("q", "unknown", {"n": 8})
    refused = old.add("q", "send", {"n": "eight"})
    locked = int(library == "bull3")  # of the job that failed, until it runs out
    plan = shop.migrate("plan", code=1)
    assert (plan["moved"], plan["left"], plan["refused"]) == (6 - locked, 1 + locked, 1)
    report = shop.migrate("apply", "--yes", code=1)
    assert (report["moved"], report["left"], report["refused"]) == (6 - locked, 1, 1)
    verified = shop.migrate("verify")
    assert verified["ok"]

    by_n = {describe(record.payload)["kwargs"]["n"]: record for record in shop.records()}
    expected = {1, 2, 3, 4, 5} | (set() if locked else {0})
    assert by_n.keys() == expected
    job: Any = old.call("job", queue="q", id=ids[4])
    assert job is None  # it is in the ledger
    assert by_n[4].state is JobState.SCHEDULED
    assert by_n[1].priority > by_n[2].priority >= by_n[3].priority
    assert by_n[5].key == "own"
    assert by_n[5].attempt == 7  # of ten, so three are left
    if 0 in by_n:
        again = by_n[0]
        assert again.state is JobState.SCHEDULED
        assert again.attempt == 7  # one of four was made: three are left
        assert [error.message for error in decode_history(again.history)] == ["planned failure 1"]

    # What stays is still run there, with what its worker makes of it.
    ledger = tmp_path / "theirs"
    old.work("q", 2, ledger)
    assert {line["id"] for line in ledger_lines(ledger)} == {left, refused}

    back = shop.migrate("revert", "--yes")
    assert (back["reverted"], back["stayed"]) == (len(expected), [])
    assert not [record for record in shop.records() if record.state in {JobState.READY, JobState.SCHEDULED}]
    job = old.call("job", queue="q", id=ids[4])
    assert job["json"]["timestamp"] + delay == int(by_n[4].due_ms or 0)
    again_ledger = tmp_path / "again"
    old.work("q", 4, again_ledger)  # all but the delayed ones
    lines = ledger_lines(again_ledger)
    assert Counter(line["data"]["n"] for line in lines) == Counter({1: 1, 2: 1, 3: 1, 5: 1})
    assert next(line for line in lines if line["data"]["n"] == 5)["opts"]["attempts"] == 3
    assert shop.migrate("verify")["ok"]


def test_those_that_started_here_are_named_and_stay(shop: Shop, old: NodeLibrary, library: str) -> None:
    if library in {"bullmq5", "bull3"}:
        pytest.skip("one version of each is enough")
    old.add("q", "send", {"n": 1})
    later = old.add("q", "send", {"n": 2}, delay=3_600_000)
    shop.migrate("apply", "--yes")
    with ExitStack() as stack:
        shop.worker(stack)
        wait_for_lines(shop.book, 1)
        wait_until(
            lambda: [one for one in shop.records() if one.state is JobState.SUCCEEDED] or None, "the job ends"
        )
    back = shop.migrate("revert", "--yes")
    assert back["reverted"] == 1
    (stayed,) = back["stayed"]
    assert "succeeded" in stayed["why"]
    assert old.call("job", queue="q", id=later)["state"] == "delayed"


def test_children_of_a_flow_stay_unless_they_are_asked_for(
    shop: Shop, old: NodeLibrary, library: str
) -> None:
    if library != "bullmq6":
        pytest.skip("Bull has no flows, and one version of BullMQ is enough")
    children = [{"name": "send", "queueName": "q", "data": {"n": 1}}]
    old.call("flow", tree={"name": "send", "queueName": "q", "data": {"n": 2}, "children": children})
    report = shop.migrate("apply", "--yes")
    assert (report["moved"], report["left"]) == (0, 1)
    assert shop.migrate("plan", "--children")["moved"] == 1
    old.work("q", 2)  # the child, and then its parent


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_each_fire_is_run_by_one_side(shop: Shop, old: NodeLibrary, library: str, tmp_path: Path) -> None:
    """There, then here, then there again, with both workers running all the while."""
    if library in {"bullmq5", "bull3"}:
        pytest.skip("one version of each is enough for half a minute")
    every = 5000
    theirs = tmp_path / "theirs"
    repeat = {"every": every}
    with ExitStack() as stack:
        old_worker = worker(library, shop.url, shop.prefix, "q", theirs)
        old_worker.start()
        stack.callback(old_worker.kill)
        shop.worker(stack)
        old.call("schedule", queue="q", id="tick", repeat=repeat, name="send", data={"n": 1}, opts={})
        old.call("schedule", queue="q", id="cron", repeat=cron(library, "0 3 1 1 *", tz="UTC"), name="unknown",
                 data={}, opts={})  # fmt: skip
        wait_for_lines(theirs, 2)
        report = shop.migrate("apply", "--yes")
        (moved,) = [one for one in report["schedules"] if one["outcome"] == "moved"]
        assert moved["schedule"].startswith("q:")
        (stays,) = [one for one in report["schedules"] if one["outcome"] == "left"]
        assert "the map says nothing" in stays["why"]
        wait_for_lines(shop.book, 3)
        back = shop.migrate("revert", "--yes")
        (returned,) = back["schedules"]
        assert returned["outcome"] == "reverted"
        before = len(ledger_lines(theirs))
        wait_for_lines(theirs, before + 2)
    # A job's id there ends with its fire time; here jobs start less than an interval after it.
    there = [int(line["id"].rpartition(":")[2]) for line in ledger_lines(theirs)]
    offset = there[-1] % every
    here = [int((line["at"] - offset) // every * every) + offset for line in ledger_lines(shop.book)]
    fires = sorted(there + here)
    assert len(set(fires)) == len(fires), (there, here)
    assert fires[-1] - fires[0] == (len(fires) - 1) * every, (there, here)
