"""The commands of docs/how-to/roll-out.md run one after the other, as the page has them."""

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

PAGE: Final = (ROOT / "docs/how-to/roll-out.md").read_text(encoding="utf-8")
START: Final = "rollout start reports --to next --max-error-rate 1% --max-p95 5s --max-queue-latency 30s"


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
    carriers, plan = blocks("toml")
    carriers = carriers.replace("redis://localhost:6379/0", url)
    (tmp_path / "headway.toml").write_text(f'namespace = "{namespace}"\n{carriers}')
    (tmp_path / "plan.toml").write_text(plan)
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
        if words[1] in {"start", "abort"} and "--dry-run" not in words:
            _settle(tmp_path / "jobs.db")
    assert said[f"{START} --dry-run"].endswith("nothing was begun\n")
    assert "begun: reports to next, 1 % now" in said[f"{START} --reason a new server"]
    assert "running" in said["rollout status reports"]
    assert "at 1 %: a deploy of the shop" in said["rollout history reports"]
    assert said["rollout abort reports --reason not today"].endswith("the roll-out is aborted\n")
    assert "reports to next: 1 %" in said["rollout start --plan plan.toml --dry-run"]
    assert "email to next: 10 %" in said["rollout start --plan plan.toml --dry-run"]
    assert "plan of reports, email: 0 of 2 done" in said["rollout status"]
