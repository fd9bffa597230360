"""The commands of docs/how-to/move-a-queue.md run one after the other, as the page has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.docs.commands import Page, headway, settle

if TYPE_CHECKING:
    from pathlib import Path

PAGE: Final = Page("how-to/move-a-queue.md")


@pytest.mark.parametrize("other", ["redis", "sqlite"])
def test_the_commands_do_what_the_page_says(
    tmp_path: Path, other: str, request: pytest.FixtureRequest, namespace: str
) -> None:
    url = request.getfixturevalue("redis_url") if other == "redis" else "sqlite:///next.db"
    toml = PAGE.blocks("toml")[0].replace("redis://localhost:6379/0", url)
    (tmp_path / "headway.toml").write_text(f'namespace = "{namespace}"\n{toml}')
    (tmp_path / "shop.py").write_text(PAGE.blocks("python")[0])

    said: dict[str, str] = {}
    for _, *words in PAGE.commands():
        said[" ".join(words)] = headway(tmp_path, *words)
        if words[1] in {"set", "rollback", "drain"}:
            settle(tmp_path / "jobs.db")
    assert "next 0 -> 10 %" in said["routes set reports main=90 next=10 --reason a tenth first"]
    assert "40 % of its jobs" in said["routes set reports main=50 next=50 --reason well so far"]
    assert "next 50 -> 100 %" in said["routes set reports next --reason all of it"]
    assert said["routes history"].splitlines()[0].startswith("version 3  ")
    assert "version 4;" in said["routes rollback 1 --reason reports are slow there"]
    assert "no route any more: all to main" in said["routes set reports --declared"]
    assert "5 % are copied to next" in said["routes set reports --shadow next=5 --reason how does it do?"]
    assert "next is empty" in said["routes drain next --move --wait --reason a new disk"]
    assert "next is drained no more" in said["routes drain next --end"]
    assert "all to main" in said["routes show"]
    assert said["routes verify"].endswith("nothing is wrong\n")
