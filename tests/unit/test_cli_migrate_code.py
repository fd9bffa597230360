from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from headway.cli.root import cli
from tests.unit.rewrite.test_rewrite import WORKER

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "worker.py").write_text(WORKER, encoding="utf-8")
    (tmp_path / "Procfile").write_text("worker: arq worker.WorkerSettings --burst\n", encoding="utf-8")
    return tmp_path


def _run(*args: str | Path) -> Result:
    return CliRunner().invoke(cli, ["migrate", "code", "--from", "arq", *map(str, args)])


def test_it_shows_a_diff_and_what_is_left_and_changes_nothing(project: Path) -> None:
    result = _run(project)
    assert result.exit_code == 0, result.output
    assert "--- a/worker.py\n+++ b/worker.py\n" in result.stdout
    assert "Left to do by hand:\n  Procfile:1  --burst ends the worker" in result.stdout
    assert "headway worker worker:app" in result.stderr
    assert (project / "worker.py").read_text(encoding="utf-8") == WORKER


def test_write_changes_once(project: Path) -> None:
    result = _run(project, "--write")
    assert (result.exit_code, "changed  worker.py" in result.stdout) == (0, True)
    written = (project / "worker.py").read_text(encoding="utf-8")
    assert "arq" not in written
    assert "nothing to change" in _run(project, "--write").stderr
    assert (project / "worker.py").read_text(encoding="utf-8") == written


def test_json(project: Path) -> None:
    document = json.loads(_run(project, "--json").stdout)
    assert (document["app"], document["tasks"], document["written"]) == ("worker:app", ["work"], False)
    assert [one["file"] for one in document["changes"]] == ["Procfile", "worker.py"]
    assert document["findings"][0]["kind"] == "by hand"


def test_a_file_that_cannot_be_read_is_exit_code_1(project: Path) -> None:
    (project / "odd.py").write_text("def (:\n", encoding="utf-8")
    result = _run(project)
    assert (result.exit_code, "odd.py:1" in result.stdout) == (1, True)
    assert "+++ b/worker.py" in result.stdout


def test_what_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    assert _run(tmp_path / "nosuch").exit_code == 2
    assert CliRunner().invoke(cli, ["migrate", "code", str(tmp_path)]).exit_code == 2


def test_hostile_names_and_texts_play_no_tricks_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "x\x1b[31m.py").write_text(WORKER.replace("caf", "\x07"), encoding="utf-8")
    result = _run(tmp_path)
    assert "\x1b" not in result.output
    assert "\x07" not in result.output
