"""A wrong call is an error for users' own type checkers: mypy is run on a file as they would write it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
from headway import Context, Headway

app = Headway("shop")

@app.task
async def send(ctx: Context, user: int, *, template: str = "plain") -> str:
    return template

async def main() -> str:
    async with app:
        job = await send.enqueue(42, template="pro")
        return await job.result(timeout=10)
"""
BAD = {
    'await send.enqueue("42")': "arg-type",
    "await send.enqueue(42, tempalte='pro')": "call-arg",
    "await send.enqueue()": "call-arg",
    "x: int = await (await send.enqueue(42)).result()": "assignment",
    "send.sync.enqueue(None)": "arg-type",
    "await app.enqueue_many([send.enqueue(1)])": "arg-type",
    'Headway("x", leese=3)': "call-arg",
}


@pytest.mark.timeout(180)
def test_mypy_refuses_each_wrong_line_and_accepts_the_right_ones(tmp_path: Path) -> None:
    lines: list[str] = [*GOOD.splitlines()]
    wrong: dict[int, str] = {}
    lines.append("async def wrong() -> None:")
    for code, kind in BAD.items():
        lines.append(f"    {code}")
        wrong[len(lines)] = kind
    (tmp_path / "user.py").write_text("\n".join(lines) + "\n")
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", "user.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip
    found: dict[int, set[str]] = {}
    for line in answer.stdout.splitlines():
        _, number, level, rest = (part.strip() for part in line.split(":", 3))
        if level == "error":
            found.setdefault(int(number), set()).add(rest.rpartition("[")[2].rstrip("]"))
    assert {number: kind for number, kind in wrong.items() if kind not in found.get(number, set())} == {}, (
        answer.stdout
    )
    assert set(found) == set(wrong), answer.stdout
