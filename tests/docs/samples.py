"""The Python samples of README.md and docs/: found, with the files that their page names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
_FENCE: Final = re.compile(
    r"(?P<before>[^\n]*)\n```(?:\{ \.)?python(?P<options>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FILE: Final = re.compile(r"# (?P<name>\w+\.py)\n")
_NOT_RUN: Final = "no-run"


@dataclass(frozen=True, slots=True)
class Sample:
    """One block. `files` are the blocks above it on its page that begin with `# name.py`; `name` is its own, if any."""

    page: str
    line: int
    code: str
    name: str
    files: dict[str, str]
    runs: bool
    reason: str

    @property
    def is_test(self) -> bool:
        return re.search(r"^(async )?def test_", self.code, re.MULTILINE) is not None

    @property
    def needs_worker(self) -> bool:
        """True when it is a program of its own: then a worker runs beside it, as the page tells the reader."""
        return bool(self.name) and '__name__ == "__main__"' in self.code


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def samples() -> Iterator[Sample]:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        files: dict[str, str] = {}
        for found in _FENCE.finditer(text):
            code = found["code"]
            named = _FILE.match(code)
            name = named["name"] if named else ""
            line = text.count("\n", 0, found.start("code")) + 1
            runs = _NOT_RUN not in found["options"]
            yield Sample(
                str(page.relative_to(ROOT)), line, code, name, dict(files), runs, found["before"].strip()
            )
            if name:
                files[name] = code
