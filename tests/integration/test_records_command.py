"""`headway db` and `headway recorder`: tables are made, a recorder records, and says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """
from headway import Headway

app = Headway("shop", url="sqlite:///jobs.db", records="sqlite:///records.db")
without = Headway("without", url="sqlite:///jobs.db")


@app.task(name="charge")
async def charge() -> None: ...
"""
HEADWAY = [sys.executable, "-c", "from headway.cli import main; main()"]


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "shop_of_records.py").write_text(SHOP, encoding="utf-8")
    return {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(tmp_path)}, "text": True}


def run(shop: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HEADWAY, *words], capture_output=True, check=False, timeout=50, **shop)


@pytest.mark.timeout(120)
def test_tables_are_made_and_a_recorder_records(shop: dict[str, Any]) -> None:
    missing = run(shop, "recorder", "shop_of_records:app")
    assert missing.returncode == 2
    assert "run headway db upgrade" in missing.stderr
    made = json.loads(run(shop, "db", "upgrade", "shop_of_records:app", "--json").stdout)
    assert (made["before"], made["after"]) == (None, "0001")
    assert "nothing to do" in run(shop, "db", "upgrade", "shop_of_records:app").stdout
    assert (
        "nothing has been recorded yet"
        in run(shop, "db", "status", "shop_of_records:app").stderr
        + run(shop, "db", "status", "shop_of_records:app").stdout
    )
    with subprocess.Popen(
        [*HEADWAY, "recorder", "shop_of_records:app", "--metrics-port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **shop,
    ) as recorder:  # fmt: skip
        assert recorder.stdout is not None
        ready = json.loads(recorder.stdout.readline())
        with urllib.request.urlopen(
            f"http://127.0.0.1:{ready['metrics_port']}/metrics", timeout=20
        ) as answer:
            assert b"headway_records_up 1.0" in answer.read()
        status = json.loads(run(shop, "db", "status", "shop_of_records:app", "--json").stdout)
        assert [feed["carrier"] for feed in status["feeds"]] == ["main"]
        recorder.send_signal(signal.SIGTERM)
        recorder.communicate(timeout=30)
    assert recorder.returncode == 0


def test_an_app_without_records_is_told_how_to_have_some(shop: dict[str, Any]) -> None:
    for words in (("recorder",), ("db", "upgrade"), ("db", "status")):
        answer = run(shop, *words, "shop_of_records:without")
        assert answer.returncode == 2
        assert "HEADWAY_RECORDS" in answer.stderr
        assert len(answer.stderr.splitlines()) == 1
