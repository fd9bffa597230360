"""Whole applications that use arq: their own tests pass before they are rewritten, and after it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from headway.migrate.rewrite.changes import write
from headway.migrate.rewrite.rewrite import rewrite_arq
from tests.servers import RedisServer
from tests.servers.arq_env import arq_python
from tests.unit.rewrite.bundle import before, lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator

APPS: Final = Path(__file__).with_name("rewrite") / "apps"
NAMES: Final = sorted(path.stem for path in APPS.glob("*.txt"))


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    """Have a server of our own: the names of arq's keys are fixed."""
    with RedisServer() as server:
        yield server.url


def _own_tests(python: Path | str, project: Path, redis: str) -> None:
    kept = {
        name: text for name, text in os.environ.items() if not name.startswith(("HEADWAY_", "PYTEST_", "COV"))
    }
    done = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "tests"],
        cwd=project,
        env={**kept, "REDIS_URL": redis, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]


@pytest.mark.timeout(480)
@pytest.mark.parametrize("name", NAMES)
def test_an_app_does_the_same_before_and_after(name: str, tmp_path: Path, redis: str) -> None:
    python = arq_python()
    files = before((APPS / f"{name}.txt").read_text(encoding="utf-8"))
    project = tmp_path / name
    project.mkdir()
    lay_out(files, project)
    _own_tests(python, project, redis)
    done = rewrite_arq(project)
    assert write(done.changes) == []
    assert {str(one.kind) for one in done.findings} <= {"check"}, done.findings
    assert not [
        path for path in project.rglob("*.py") if re.search(r"\barq\b", path.read_text(encoding="utf-8"))
    ]
    _own_tests(sys.executable, project, redis)
    assert rewrite_arq(project).changes == []


def test_there_are_three_of_them() -> None:
    assert len(NAMES) >= 3
