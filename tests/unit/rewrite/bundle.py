"""A golden case in one text: the files of a project before, what changes in them, and what is told.

`python -m tests.unit.rewrite.bundle` writes what the rewriter makes now into all cases: look at the difference before
you commit it.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headway.migrate.rewrite.rewrite import rewrite_arq

if TYPE_CHECKING:
    from headway.migrate.rewrite.changes import Rewriting

GOLDEN: Final = Path(__file__).with_name("golden")
_HEAD: Final = re.compile(r"^## (before|after|findings|app)(?:: (.+))?\n", re.MULTILINE)


def cases() -> list[str]:
    return sorted(path.stem for path in GOLDEN.glob("*.txt"))


def text_of(case: str) -> str:
    return (GOLDEN / f"{case}.txt").read_text(encoding="utf-8")


def before(text: str) -> dict[str, str]:
    return _sections(text, "before")


def after(text: str) -> dict[str, str]:
    return _sections(text, "after")


def _sections(text: str, wanted: str) -> dict[str, str]:
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return {
        head[2]: text[head.end() : end] for head, end in zip(heads, ends, strict=True) if head[1] == wanted
    }


def lay_out(files: dict[str, str], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", newline="")


def written(files: dict[str, str], done: Rewriting) -> str:
    """Return the text of a case with what the rewriter has made of its files."""
    parts = [f"## before: {name}\n{content}" for name, content in files.items()]
    parts += [f"## after: {change.file}\n{change.after}" for change in done.changes]
    told = [f"{one.file}:{one.line} [{one.kind}] {one.what} -> {one.todo}\n" for one in done.findings]
    parts.append("## findings\n" + "".join(told))
    parts.append(f"## app\n{done.app} {' '.join(done.tasks)}\n")
    return "".join(parts)


def rewritten(files: dict[str, str], folder: Path) -> Rewriting:
    project = folder / "shop"
    project.mkdir()
    lay_out(files, project)
    return rewrite_arq(project)


if __name__ == "__main__":
    for one in cases():
        with tempfile.TemporaryDirectory() as temporary:
            given = before(text_of(one))
            made = written(given, rewritten(given, Path(temporary)))
            (GOLDEN / f"{one}.txt").write_text(made, encoding="utf-8")
