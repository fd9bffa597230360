"""Charts are SVG in which nothing that comes from outside is markup, and whose numbers can be read without seeing it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.dashboard.charts import HEIGHT, WIDTH, Chart, Mark, Series, ceiling, draw, short, spark, written

MINUTE = 60_000
HOSTILE = '"><script>alert(1)</script>\u202e'


class Scripts(HTMLParser):
    """Counts what would run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script" or any(name.startswith("on") for name, _ in attrs):
            self.found.append(tag)


def chart(*series: Series, shape: str = "line", title: str = "Ended", marks: tuple[Mark, ...] = ()) -> Chart:
    instants = tuple(n * MINUTE for n in range(len(series[0].values))) if series else ()
    return Chart(title, instants, series, shape="bars" if shape == "bars" else "line", marks=marks)


@pytest.mark.parametrize(
    ("highest", "end"),
    [(0, 1), (-3, 1), (0.3, 0.5), (1, 1), (7, 10), (21, 25), (1999, 2000), (2001, 2500), (1e9, 1e9)],
)
def test_the_axis_ends_at_a_round_number(highest: float, end: float) -> None:
    assert ceiling(highest) == pytest.approx(end)


@given(st.floats(min_value=1e-6, max_value=1e15))
def test_every_value_lies_below_the_end_of_the_axis(highest: float) -> None:
    assert highest <= ceiling(highest) * 1.001 <= highest * 2.6


@pytest.mark.parametrize("shape", ["line", "bars"])
@given(
    values=st.lists(
        st.tuples(*[st.none() | st.floats(min_value=0, max_value=1e12)] * 2), min_size=1, max_size=40
    )
)
def test_whatever_the_values_the_drawing_is_whole_and_stays_in_its_frame(
    shape: str, values: list[tuple[float | None, float | None]]
) -> None:
    columns = list(zip(*values, strict=True))
    drawn = str(draw(chart(Series("a", columns[0]), Series("b", columns[1], "bad"), shape=shape)))
    figure = ET.fromstring(drawn)  # noqa: S314 - our own text; that it is well-formed is what is tested
    for one in figure.iter("rect"):
        x, y, width, height = (float(one.attrib[name]) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= WIDTH
        assert 0 <= y <= y + height <= HEIGHT + 1
    for one in figure.iter("polyline"):
        for point in one.attrib["points"].split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
    if any(value is not None for pair in values for value in pair):
        assert len(list(figure.iter("tr"))) == len(values) + 1
    else:
        assert "Nothing happened" in drawn


def test_what_is_unknown_is_a_gap_and_no_zero() -> None:
    drawn = ET.fromstring(str(draw(chart(Series("a", (1.0, 2.0, None, None, 3.0))))))  # noqa: S314 - as above
    assert len(list(drawn.iter("polyline"))) == 1
    assert len(list(drawn.iter("circle"))) == 1
    assert [cell.text for cell in drawn.iter("td")] == ["1", "2", None, None, "3"]


def test_names_from_outside_are_text() -> None:
    drawn = str(
        draw(
            chart(
                Series(HOSTILE, (1.0, 2.0)),
                Series("b", (1.0, 1.0)),
                title=HOSTILE,
                marks=(Mark(MINUTE, HOSTILE),),
            )
        )
    )
    assert Scripts(drawn).found == []
    assert Scripts(str(spark([1, 2], said=HOSTILE))).found == []


def test_the_script_gets_the_values_as_they_are() -> None:
    figure = ET.fromstring(str(draw(chart(Series("a", (1.0, None, 2.5))))))  # noqa: S314 - as above
    [svg] = figure.iter("svg")
    points = json.loads(svg.attrib["data-points"])
    assert points["at"] == [0, MINUTE, 2 * MINUTE]
    assert points["series"] == [{"name": "a", "tone": "accent", "values": [1.0, None, 2.5]}]
    assert svg.attrib["aria-label"] == "Ended: at the end a 2.5"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "count", "0"),
        (1250, "count", "1,250"),
        (12_400, "count", "12.4k"),
        (3_100_000, "count", "3.1M"),
        (0.5, "count", "0.5"),
        (0.045, "share", "4.5 %"),
        (12.34, "ms", "12.3 ms"),
        (1_500, "ms", "1.5 s"),
        (90_000, "ms", "1.5 min"),
        (7_200_000, "ms", "2 h"),
        (172_800_000, "ms", "2 d"),
    ],
)
def test_values_are_written_as_people_read_them(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text


def test_a_row_of_nothing_has_no_line() -> None:
    assert "polyline" not in spark([0, 0, 0], said="nothing")
    assert short(999) == "999"
