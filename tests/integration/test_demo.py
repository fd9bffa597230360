"""The demo: real worker processes, one of them killed, and an account that adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import RedisServer

FILES = 200


def _demo(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from headway.cli import main; main()", "demo", "--limit", str(FILES), *args],
        cwd=folder,
        env={"PATH": "", "TMPDIR": str(folder), "HEADWAY_URL": "sqlite:///not-this-one.db"},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


def _check(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    ledger, findings = outcome["ledger"], outcome["findings"]
    assert outcome["ok"] is True
    assert (ledger["lost"], ledger["completed_twice"], ledger["failed"]) == (0, 0, 0)
    # The files, the delayed job, and as many of the scheduled one as fired.
    assert ledger["accepted"] == ledger["completed"] == FILES + 1 + findings["samples"]
    assert findings["files"] == FILES
    assert findings["samples"] >= 1
    assert findings["census"]["folders"] > 10
    assert ledger["retries"] >= FILES // 40
    assert ledger["attempts"] >= ledger["accepted"] + ledger["retries"]
    assert outcome["killed"] is not None
    assert "killed with SIGKILL" in done.stderr
    assert sum(lines for _, lines in findings["longest"]) < findings["lines"]
    return outcome


def test_the_account_adds_up_and_nothing_stays_behind(tmp_path: Path) -> None:
    outcome = _check(_demo(tmp_path, "--json", "--seed", "5"))
    assert outcome["ledger"]["recovered"] >= 1
    assert list(tmp_path.iterdir()) == []


def test_keep_leaves_the_file_to_look_at(tmp_path: Path) -> None:
    _check(_demo(tmp_path, "--json", "--keep"))
    assert [file.name for file in tmp_path.glob("headway-demo-*/demo.db")] == ["demo.db"]


@pytest.mark.xdist_group("redis-demo")
def test_on_redis_it_leaves_the_server_as_it_was(tmp_path: Path, own_redis_server: RedisServer) -> None:
    own_redis_server.call("SET", "somebody:else", "1")
    _check(_demo(tmp_path, "--json", "--url", own_redis_server.url))
    assert own_redis_server.call("DBSIZE") == 1
