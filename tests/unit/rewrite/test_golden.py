from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from headway.migrate.rewrite.changes import write
from headway.migrate.rewrite.rewrite import rewrite_arq
from tests.unit.rewrite.bundle import before, cases, rewritten, text_of, written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("case", cases())
def test_a_project_becomes_what_was_looked_at(case: str, tmp_path: Path) -> None:
    """After a change that is wanted: `python -m tests.unit.rewrite.bundle`, and look at the difference."""
    given = before(text_of(case))
    assert written(given, rewritten(given, tmp_path)) == text_of(case)


@pytest.mark.parametrize("case", cases())
def test_what_was_written_is_python_and_stays_as_it_is(case: str, tmp_path: Path) -> None:
    done = rewritten(before(text_of(case)), tmp_path)
    assert write(done.changes) == []
    for change in done.changes:
        if change.path.suffix == ".py":
            ast.parse(change.path.read_text(encoding="utf-8"))
    assert rewrite_arq(tmp_path / "shop").changes == []


def test_there_are_enough_of_them() -> None:
    assert len(cases()) >= 12
