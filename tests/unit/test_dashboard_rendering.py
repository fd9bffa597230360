"""Pages: what they are given is text, whatever it holds; what is missing is an error of ours and no empty place."""

from __future__ import annotations

import re
from typing import Any

import jinja2
import pytest
from msgspec import Struct

from headway.dashboard.charts import Chart, Series
from headway.dashboard.places import PLACES
from headway.dashboard.rendering import (
    ASSETS,
    KINDS,
    Finding,
    Flash,
    Frame,
    Pages,
    Who,
    asset_path,
    iso,
    seen,
    tone_of,
)
from headway.job import JobState

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Row(Struct):
    name: str
    sub: str
    waiting: int
    last: list[float]
    oldest: int | None


def frame(**given: Any) -> Frame:
    return Frame(**{"app_name": "shop", "base": "/ops", "csrf": "t", "may": lambda _role: True, **given})


def sheet(around: Frame, text: str = "email") -> str:
    """Render the page that shows all components."""
    chart = Chart(text, (0, 60_000), (Series(text, (1.0, 2.0)), Series("b", (2.0, 1.0))))
    return Pages().render(
        "design",
        around,
        title=text,
        findings=[Finding("bad", text, text, "/queues", text)],
        states=[*JobState, text],
        charts=[chart],
        rows=[Row(text, text, 3, [1.0, 2.0], None)],
        now=1_000,
    )


def test_no_component_takes_a_text_for_markup() -> None:
    page = sheet(
        frame(
            app_name=HOSTILE,
            who=Who(HOSTILE, HOSTILE),
            flash=Flash(HOSTILE, HOSTILE),
            mode=HOSTILE,
            csrf=HOSTILE,
        ),
        HOSTILE,
    )
    assert "<img" not in page
    assert page.count("<script") == 1


def test_no_page_has_style_or_script_of_its_own() -> None:
    """The policy of the pages forbids both: what is inline would be lost, and nobody would notice."""
    for file in (ASSETS.parent / "templates").rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|javascript:", text), file
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), file
        assert "|safe" not in text.replace(" ", ""), file


def test_without_the_role_an_act_is_not_there() -> None:
    assert 'action="/ops/sample"' in sheet(frame())
    assert 'action="/ops/sample"' not in sheet(frame(may=lambda _role: False))


def test_each_act_carries_the_token() -> None:
    page = sheet(frame(csrf="secret-token"))
    posts = page.count('<form method="post"')
    assert posts > 0
    assert page.count('name="csrf" value="secret-token"') == posts


def test_what_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="findings"):
        Pages().render("design", frame(), title="x", states=[], charts=[], rows=[], now=0)


def test_assets_are_named_by_what_is_in_them() -> None:
    path = asset_path("/ops", "live.js")
    assert re.fullmatch(r"/ops/assets/[0-9a-f]{12}/live\.js", path)
    assert {file.suffix.removeprefix(".") for file in ASSETS.iterdir()} <= set(KINDS)


def test_scripts_are_far_below_what_a_page_may_weigh() -> None:
    assert sum(file.stat().st_size for file in ASSETS.glob("*.js")) < 150_000


def test_keys_and_paths_of_the_way_around_are_told_apart() -> None:
    assert len({place.key for place in PLACES}) == len({place.path for place in PLACES}) == len(PLACES)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ümlaut 漢字", "plain ümlaut 漢字"),
        ("a\u202eb", "a\\u202eb"),
        ("a\x00b\x7f", "a\\u0000b\\u007f"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_what_would_not_be_seen_is_shown_by_its_number(text: str, shown: str) -> None:
    assert seen(text) == shown


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [(None, ""), (0, "1970-01-01T00:00:00Z"), (-5, "-5 ms"), (10**18, f"{10**18} ms")],
)
def test_no_instant_is_too_odd_to_be_shown(at_ms: int | None, text: str) -> None:
    assert iso(at_ms) == text


def test_every_state_has_a_tone() -> None:
    assert all(tone_of(state) for state in JobState)
    assert tone_of("none of ours") == "quiet"
