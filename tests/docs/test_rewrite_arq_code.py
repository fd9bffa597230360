"""The commands of docs/how-to/rewrite-arq-code.md turn its example into what the page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.docs.commands import Page, headway

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = Page("how-to/rewrite-arq-code.md")


def _files() -> list[tuple[str, str]]:
    """Return the files of the page, before and after, without the line that heads each."""
    blocks = [block for block in PAGE.blocks("text") if block.startswith("# ")]
    return [(block.split()[1], block.partition("\n")[2]) for block in blocks]


def test_the_example_becomes_what_the_page_shows(tmp_path: Path) -> None:
    project = tmp_path / "shop"
    project.mkdir()
    *before, tasks, worker = _files()
    for name, text in before:
        (project / name).write_text(text, encoding="utf-8")
    said = [headway(project, *words) for _, *words in PAGE.commands()]
    assert "+++ b/tasks.py" in said[0]
    assert "changed  tasks.py" in said[1]
    for name, text in (tasks, worker):
        assert (project / name).read_text(encoding="utf-8") == text
    assert "changed" not in headway(project, *PAGE.commands()[-1][1:]).splitlines()[:1]
