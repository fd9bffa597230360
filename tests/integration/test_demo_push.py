"""The demo of push: an emulator, two receivers, duplicates, a kill, and an account that adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from headway.events import EventKind
from headway.job import JobId, JobState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("grpc", reason="the demo needs headway[emulator]")

FILES = 120


def _demo(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from headway.cli import main; main()", "demo", "--push", *args],
        cwd=folder,
        env={"PATH": "", "TMPDIR": str(folder), "HEADWAY_URL": "sqlite:///not-this-one.db"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


@pytest.mark.timeout(120)
def test_nothing_is_lost_nor_completed_twice_and_nothing_stays_behind(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--limit", str(FILES), "--seed", "5", "--json")
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    ledger, findings = outcome["ledger"], outcome["findings"]
    assert outcome["ok"] is True
    assert (ledger["lost"], ledger["completed_twice"], ledger["failed"]) == (0, 0, 0)
    # The files, the delayed job, and as many of the scheduled one as fired.
    assert ledger["accepted"] == ledger["completed"] == FILES + 1 + findings["samples"]
    assert findings["files"] == FILES
    assert findings["census"]["folders"] > 10
    # An attempt that stumbles may be the one that dies with the killed receiver: then it counts as recovered.
    assert ledger["retries"] + ledger["recovered"] >= FILES // 40
    assert ledger["retries"] > 0
    assert outcome["duplicates"] >= FILES // 20
    assert outcome["killed"] is not None
    assert f"receiver {outcome['killed']} killed with SIGKILL" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_takes_no_carrier_of_yours(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--url", "redis://127.0.0.1")
    assert done.returncode == 2
    assert "without --url" in done.stderr


class TestTheAudit:
    """What is lost or done twice must show: a table that is always clean proves nothing."""

    @pytest.fixture
    def kinds_of(self) -> Callable[..., list[EventKind]]:
        from headway.demo.push_audit import kinds  # noqa: PLC0415 - needs the extras
        from headway.guards.document import Document  # noqa: PLC0415 - as above

        def of(*steps: tuple[JobState, dict[str, int]]) -> list[EventKind]:
            found: list[EventKind] = []
            before = None
            for state, fields in steps:
                after = Document(
                    id=JobId("0" * 20),
                    task="t",
                    queue="q",
                    payload=b"",
                    priority=5,
                    state=state,
                    **fields,  # type: ignore[arg-type]  # of the counters
                )
                found += kinds(before, after)
                before = after
            return found

        return of

    def test_a_life_with_a_retry_and_a_renewed_lease(self, kinds_of: Callable[..., list[EventKind]]) -> None:
        first, second = {"epoch": 1, "attempt": 1}, {"epoch": 2, "attempt": 2, "turn": 1}
        assert kinds_of(
            (JobState.RUNNING, first),
            (JobState.RUNNING, {**first, "lease_until_ms": 9}),
            (JobState.SCHEDULED, {**first, "turn": 1}),
            (JobState.RUNNING, second),
            (JobState.SUCCEEDED, second),
        ) == [EventKind.ENQUEUED, EventKind.STARTED, EventKind.RETRY, EventKind.STARTED, EventKind.SUCCEEDED]

    def test_a_crash_and_a_release(self, kinds_of: Callable[..., list[EventKind]]) -> None:
        assert kinds_of(
            (JobState.RUNNING, {"epoch": 1}),
            (JobState.RUNNING, {"epoch": 2, "crashes": 1}),
            (JobState.READY, {"epoch": 2, "crashes": 1}),
        )[1:] == [EventKind.STARTED, EventKind.RECLAIMED, EventKind.STARTED, EventKind.RELEASED]

    def test_a_second_completion_is_seen(self, kinds_of: Callable[..., list[EventKind]]) -> None:
        ended = (JobState.SUCCEEDED, {"epoch": 1})
        found = kinds_of((JobState.RUNNING, {"epoch": 1}), ended, ended)
        assert found.count(EventKind.SUCCEEDED) == 2


def test_the_database_notes_every_change(tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415 - for this test

    from headway.brokers.base import BrokerSettings  # noqa: PLC0415 - as above
    from headway.clock import SystemClock  # noqa: PLC0415 - as above
    from headway.demo.push_audit import Audit  # noqa: PLC0415 - as above
    from headway.guards.beginning import Started  # noqa: PLC0415 - as above
    from headway.guards.document import PushedJob  # noqa: PLC0415 - as above
    from headway.guards.guard import Guard  # noqa: PLC0415 - as above
    from headway.guards.stores.sqlite import SqliteStore  # noqa: PLC0415 - as above
    from headway.job import NewJob, Succeeded, WorkerId, new_job_id  # noqa: PLC0415 - as above

    async def live() -> None:
        audit = Audit(tmp_path / "guard.db")
        await audit.begin("demo")
        guard = Guard(
            SqliteStore(f"sqlite:///{tmp_path / 'guard.db'}", namespace="demo"),
            settings=BrokerSettings("demo"),
            clock=SystemClock(),
        )
        await guard.open()
        begun = await guard.begin(
            PushedJob(NewJob(new_job_id(), "t", "q", b"")), worker=WorkerId("w"), lease_ms=60_000
        )
        assert isinstance(begun, Started)
        assert audit.counts() == {("q", JobState.RUNNING): 1}
        await guard.settle(begun.delivery.lease, Succeeded())
        await guard.close()
        assert audit.counts() == {("q", JobState.SUCCEEDED): 1}
        assert [event.kind for event in audit.events()] == [
            EventKind.ENQUEUED,
            EventKind.STARTED,
            EventKind.SUCCEEDED,
        ]

    asyncio.run(live())
