"""What a reader does with a page works: copying a command, following a link, finding a word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.docs.samples import ROOT, pages

if TYPE_CHECKING:
    from pathlib import Path

_FENCE = re.compile(r"^ *```(?P<kind>[^\n]*)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_copied_can_be_pasted(page: Path) -> None:
    """Commands stand in `sh`, without prompts; what they print in `text`, which has no copy button."""
    for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
        assert fence["kind"] != "console", fence["body"]
        if fence["kind"] != "text":
            prompts = [line for line in fence["body"].splitlines() if re.match(r"\s*(\$|>>>|%) ", line)]
            assert not prompts, fence["body"]


def test_the_readme_has_no_link_that_is_dead_on_an_index_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []


def test_the_landing_page_is_a_sentence_a_sample_and_a_picture() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    head = text.partition("\n## ")[0]
    assert head.index("Headway runs") < head.index("```python") < head.index("<picture>")


@pytest.mark.parametrize(
    "word", ["Carrier", "Blocking twin", "Lease", "Epoch", "Guard", "Receiver", "Superseded"]
)
def test_the_words_that_are_ours_are_in_the_glossary(word: str) -> None:
    assert f"**{word}**\n:" in (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")


def test_the_pictures_follow_the_readers_colours_and_width() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert '<source media="(max-width: 600px)" srcset="assets/flow-narrow.svg">' in text
    for picture in (ROOT / "docs" / "assets").glob("*.svg"):
        assert "prefers-color-scheme: dark" in picture.read_text(encoding="utf-8")
