"""The demo of a roll-out: a fault rolls it back, mended it completes, and the account over both carriers adds up."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("grpc", reason="the demo needs headway[emulator]")


def _demo(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from headway.cli import main; main()", "demo", "--rollout", *args],
        cwd=folder,
        env={"PATH": "", "TMPDIR": str(folder), "HEADWAY_URL": "sqlite:///not-this-one.db"},
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )


def _acts(told: dict[str, Any]) -> list[tuple[str, int]]:
    return [(made["act"], made["percent"]) for made in told["decisions"] if made["act"] != "hold"]


@pytest.mark.timeout(240)
def test_it_goes_back_and_then_through_and_nothing_is_lost_nor_completed_twice(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--seed", "5", "--json")
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    ledger, carriers = outcome["ledger"], outcome["carriers"]
    assert outcome["ok"] is True
    assert (ledger["lost"], ledger["completed_twice"], ledger["failed"]) == (0, 0, 0)
    assert ledger["accepted"] == ledger["completed"] == sum(one["accepted"] for one in carriers.values())
    assert min(one["completed"] for one in carriers.values()) > 20
    first, second = outcome["rollouts"]
    assert _acts(first) == [("advance", 5), ("advance", 25), ("roll back", 0)]
    assert first["decisions"][-1]["text"].startswith("error rate ")
    assert _acts(second) == [
        ("advance", 5),
        ("advance", 25),
        ("advance", 50),
        ("advance", 100),
        ("complete", 100),
    ]
    # What the fault refused was tried again, on the side where it was.
    assert carriers["cloud"]["retries"] > 0
    assert carriers["main"]["retries"] == 0
    assert {0, 5, 25, 50, 100} == {one["percent"] for one in outcome["moments"]}
    assert any(one["failed"]["cloud"] for one in outcome["moments"])
    assert "a fault is injected at 25 %" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [("--url", "redis://127.0.0.1"), ("--limit", "5"), ("--push",)])
def test_it_takes_no_carrier_and_no_jobs_of_yours(tmp_path: Path, option: tuple[str, ...]) -> None:
    done = _demo(tmp_path, *option)
    assert done.returncode == 2
    assert "alone" in done.stderr
