"""The commands of a page, run one after the other in a folder, as the page has them."""

from __future__ import annotations

import re
import shlex
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

from headway.routing.following import SETTLING
from tests.docs.samples import ROOT
from tests.docs.test_samples import environment

if TYPE_CHECKING:
    from pathlib import Path


class Page:
    """A page below docs/."""

    def __init__(self, name: str) -> None:
        self._text = (ROOT / "docs" / name).read_text(encoding="utf-8")

    def blocks(self, kind: str) -> list[str]:
        return re.findall(rf"^```{kind}\n(.*?)^```$", self._text, re.MULTILINE | re.DOTALL)

    def commands(self) -> list[list[str]]:
        lines = [line for block in self.blocks("sh") for line in block.splitlines()]
        return [shlex.split(line) for line in lines if line.startswith("headway ")]


def headway(folder: Path, *words: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", "from headway.cli import main; main()", *words],
        cwd=folder, env=environment() | {"HEADWAY_APP": "shop:app"}, capture_output=True, text=True,
        timeout=50, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def settle(file: Path) -> None:
    """Spare the wait: make the last change old enough for the next one."""
    with sqlite3.connect(file) as db:
        db.execute("UPDATE control SET changed_ms = changed_ms - ?", (round(SETTLING * 1000) + 100,))
    db.close()
