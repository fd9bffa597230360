"""The commands of docs/how-to/move-a-queue.md run one after the other, as the page has them."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from headway.routing.following import SETTLING
from tests.docs.samples import ROOT
from tests.docs.test_samples import environment

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = (ROOT / "docs/how-to/move-a-queue.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("headway ")]


def _settle(file: Path) -> None:
    """Spare the wait: make the last change old enough for the next one."""
    with sqlite3.connect(file) as db:
        db.execute("UPDATE control SET changed_ms = changed_ms - ?", (round(SETTLING * 1000) + 100,))
    db.close()


@pytest.mark.parametrize("other", ["redis", "sqlite"])
def test_the_commands_do_what_the_page_says(
    tmp_path: Path, other: str, request: pytest.FixtureRequest, namespace: str
) -> None:
    url = request.getfixturevalue("redis_url") if other == "redis" else "sqlite:///next.db"
    toml = blocks("toml")[0].replace("redis://localhost:6379/0", url)
    (tmp_path / "headway.toml").write_text(f'namespace = "{namespace}"\n{toml}')
    (tmp_path / "shop.py").write_text(blocks("python")[0])

    def headway(*words: str) -> str:
        answer = subprocess.run(
            [sys.executable, "-c", "from headway.cli import main; main()", *words],
            cwd=tmp_path, env=environment() | {"HEADWAY_APP": "shop:app"}, capture_output=True, text=True,
            timeout=50, check=False,
        )  # fmt: skip
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    said: dict[str, str] = {}
    for _, *words in commands():
        said[" ".join(words)] = headway(*words)
        if words[1] in {"set", "rollback"}:
            _settle(tmp_path / "jobs.db")
    assert "next 0 -> 10 %" in said["routes set reports main=90 next=10 --reason a tenth first"]
    assert "40 % of its jobs" in said["routes set reports main=50 next=50 --reason well so far"]
    assert "next 50 -> 100 %" in said["routes set reports next --reason all of it"]
    assert said["routes history"].splitlines()[0].startswith("version 3  ")
    assert "version 4;" in said["routes rollback 1 --reason reports are slow there"]
    assert "no route any more: all to main" in said["routes set reports --declared"]
    assert "all to main" in said["routes show"]
    assert said["routes verify"].endswith("nothing is wrong\n")
