"""Fixtures of the unit tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.unit.cli_shop import SOURCE, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Stand in an empty folder with an app, away from the settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("HEADWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    module = f"shop_{uuid4().hex}"
    Path(f"{module}.py").write_text(SOURCE, encoding="utf-8")
    yield Shop(module)
    sys.modules.pop(module, None)
