"""Charts as SVG, drawn at the server: they need no script, no font and no colour of their own.

A chart is a `<figure>` with its title, the drawing, a legend and the numbers as a table that readers of screens and of
printouts get. Colours are classes (`series-0` ...), which the style sheet gives their meaning in either mode.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final, Literal

from markupsafe import Markup, escape
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 480.0
HEIGHT: Final = 150.0
_LEFT: Final = 62.0  # room for the numbers of the axis
_RIGHT: Final = 8.0
_TOP: Final = 10.0
_BOTTOM: Final = 22.0
_TICKS: Final = 2
_LEAST: Final = 1e-9  # below it there is nothing to be seen on an axis

Shape = Literal["line", "bars"]


class Series(Struct, frozen=True):
    """One row of values, each at the instant of the same place in `Chart.instants`; None: nothing is known of it."""

    name: str
    values: tuple[float | None, ...]
    tone: str = "accent"  # good, bad, warn, wait, later, accent, quiet


class Mark(Struct, frozen=True):
    """Something that happened at an instant, drawn as a line from top to bottom."""

    at_ms: int
    text: str
    tone: str = "accent"


class Chart(Struct, frozen=True):
    """What is drawn. `instants` are ms since 1970, evenly spaced; `unit` is what `written` writes of the values."""

    title: str
    instants: tuple[int, ...]
    series: tuple[Series, ...]
    unit: Literal["count", "ms", "share"] = "count"
    shape: Shape = "line"
    marks: tuple[Mark, ...] = ()
    empty: str = "Nothing happened in this time."


def draw(chart: Chart) -> Markup:
    """Return the chart as a figure; one without any value says so in words."""
    known = [value for one in chart.series for value in one.values if value is not None]
    head = Markup("<figcaption>{}{}</figcaption>").format(chart.title, _legend(chart))
    if not known or not chart.instants:
        return Markup('<figure class="chart">{}<p class="empty">{}</p></figure>').format(head, chart.empty)
    top = ceiling(_highest(chart))
    parts = [_grid(chart, top), *_drawn(chart, top), _marked(chart), _clock(chart)]
    svg = Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" aria-label="{said}" data-points="{points}">{parts}</svg>'
    ).format(
        w=f"{WIDTH:g}",
        h=f"{HEIGHT:g}",
        said=_said(chart),
        points=_points(chart),
        parts=Markup("").join(parts),
    )
    return Markup('<figure class="chart">{}{}{}</figure>').format(head, svg, _numbers(chart))


def spark(values: Sequence[float], *, tone: str = "accent", said: str) -> Markup:
    """Return a line of one word's size; `said` is what it shows, in words."""
    if len(values) < 2 or max(values) <= 0:  # noqa: PLR2004 - a line has two ends
        return Markup('<span class="spark none">{}</span>').format("—")
    width, height = 72.0, 18.0
    top = max(values)
    step = width / (len(values) - 1)
    points = " ".join(
        f"{n * step:.1f},{height - 1 - value / top * (height - 2):.1f}" for n, value in enumerate(values)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 72 18" role="img" aria-label="{}">'
        '<polyline class="tone-{}" points="{}"/></svg>'
    ).format(said, tone, points)


def ceiling(highest: float) -> float:
    """Return the end of the axis: the next 1, 2, 2.5 or 5 times a power of ten; 1 for nothing, or next to nothing."""
    if highest < _LEAST:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= highest * 0.9999)


def written(value: float, unit: str) -> str:
    """Return a value as people read it: 1,250; 3.2 s; 4.5 %."""
    match unit:
        case "ms":
            return _span(value)
        case "share":
            return f"{value * 100:.3g} %"
        case _:
            return short(value)


def short(value: float) -> str:
    """Return a number in four signs at most: 950, 12.4k, 3.1M."""
    for bound, divisor, sign in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= bound:
            return f"{value / divisor:.3g}{sign}"
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.2g}"  # noqa: PLR2004


def _span(ms: float) -> str:
    for bound, divisor, sign in (
        (86_400_000, 86_400_000, "d"),
        (3_600_000, 3_600_000, "h"),
        (60_000, 60_000, "min"),
    ):
        if ms >= bound:
            return f"{ms / divisor:.3g} {sign}"
    return f"{ms / 1000:.3g} s" if ms >= 1000 else f"{ms:.3g} ms"  # noqa: PLR2004 - ms a second


def _highest(chart: Chart) -> float:
    if chart.shape == "bars":
        columns = zip(*(one.values for one in chart.series), strict=True)
        return max(sum(value or 0.0 for value in column) for column in columns)
    return max(value for one in chart.series for value in one.values if value is not None)


def _x(chart: Chart, at_ms: float) -> float:
    first, last = chart.instants[0], chart.instants[-1]
    share = 0.5 if last == first else (at_ms - first) / (last - first)
    return _LEFT + share * (WIDTH - _LEFT - _RIGHT)


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - value / top * (HEIGHT - _TOP - _BOTTOM)


def _grid(chart: Chart, top: float) -> Markup:
    lines = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{y}" y2="{y}"/><text class="axis" x="{}" y="{}">{}</text>'
        ).format(
            f"{_LEFT:g}",
            f"{WIDTH - _RIGHT:g}",
            f"{_LEFT - 6:g}",
            f"{_y(value, top) + 3.5:.1f}",
            written(value, chart.unit),
            y=f"{_y(value, top):.1f}",
        )
        for value in (top * n / _TICKS for n in range(_TICKS + 1))
        if value in {0, top} or chart.unit != "count" or top >= _TICKS  # no half jobs
    ]
    return Markup("").join(lines)


def _drawn(chart: Chart, top: float) -> list[Markup]:
    match chart.shape:
        case "bars":
            return _bars(chart, top)
        case "line":
            return [line for one in chart.series for line in _lines(chart, one, top)]


def _bars(chart: Chart, top: float) -> list[Markup]:
    room = (WIDTH - _LEFT - _RIGHT) / max(1, len(chart.instants) - 1)
    width = max(1.0, room * 0.7)
    bars: list[Markup] = []
    for n, at_ms in enumerate(chart.instants):
        below = 0.0
        for one in chart.series:
            value = one.values[n] or 0.0
            if value > 0:
                y = _y(below + value, top)
                bars.append(
                    Markup('<rect class="tone-{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                        one.tone,
                        f"{min(max(_x(chart, at_ms) - width / 2, _LEFT), WIDTH - _RIGHT - width):.1f}",
                        f"{y:.1f}",
                        f"{width:.1f}",
                        f"{max(0.8, _y(below, top) - y):.1f}",
                    )
                )
            below += value
    return bars


def _lines(chart: Chart, one: Series, top: float) -> list[Markup]:
    """Return a line for each stretch without gaps; a lone point is a dot."""
    stretches: list[list[str]] = [[]]
    for at_ms, value in zip(chart.instants, one.values, strict=True):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append(f"{_x(chart, at_ms):.1f},{_y(value, top):.1f}")
    return [
        Markup('<polyline class="tone-{}" points="{}"/>').format(one.tone, " ".join(points))
        if len(points) > 1
        else Markup('<circle class="tone-{}" cx="{}" cy="{}" r="2.5"/>').format(
            one.tone, *points[0].split(",")
        )
        for points in stretches
        if points
    ]


def _marked(chart: Chart) -> Markup:
    return Markup("").join(
        Markup(
            '<line class="mark tone-{tone}" x1="{x}" x2="{x}" y1="{y1}" y2="{y2}"><title>{text}</title></line>'
        ).format(
            tone=mark.tone,
            x=f"{_x(chart, mark.at_ms):.1f}",
            y1=f"{_TOP:g}",
            y2=f"{HEIGHT - _BOTTOM:g}",
            text=mark.text,
        )
        for mark in chart.marks
        if chart.instants[0] <= mark.at_ms <= chart.instants[-1]
    )


def _clock(chart: Chart) -> Markup:
    """Write the instants below, as ms for the script, which puts the reader's own clock in their place."""
    places = sorted({0, len(chart.instants) // 2, len(chart.instants) - 1})
    return Markup("").join(
        Markup('<text class="clock {}" x="{}" y="{}" data-at="{}" data-as="axis">{}</text>').format(
            "first" if n == 0 else "last" if n == places[-1] else "middle",
            f"{_x(chart, chart.instants[n]):.1f}",
            f"{HEIGHT - 6:g}",
            chart.instants[n],
            utc(chart.instants[n]),
        )
        for n in places
    )


def utc(at_ms: int) -> str:
    """Return the hour and minute of an instant in UTC: what is shown where no script puts the reader's zone."""
    minutes = at_ms // 60_000 % 1440
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _legend(chart: Chart) -> Markup:
    if len(chart.series) < 2 and chart.series[:1]:  # noqa: PLR2004 - one line needs no legend but its name
        return Markup("")
    return Markup('<span class="legend">{}</span>').format(
        Markup("").join(
            Markup('<span class="key tone-{}">{}</span>').format(one.tone, one.name) for one in chart.series
        )
    )


def _said(chart: Chart) -> str:
    said = [
        f"{one.name} {written(last[-1], chart.unit)}"
        for one in chart.series
        if (last := [value for value in one.values if value is not None])
    ]
    return f"{chart.title}: at the end {', '.join(said)}"


def _points(chart: Chart) -> str:
    rows = {
        "at": chart.instants,
        "series": [{"name": one.name, "tone": one.tone, "values": one.values} for one in chart.series],
        "frame": (_LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM),
    }
    return json.dumps(rows, separators=(",", ":"))


def _numbers(chart: Chart) -> Markup:
    head = Markup("").join(Markup("<th scope='col'>{}</th>").format(one.name) for one in chart.series)
    rows = Markup("").join(
        Markup("<tr><th scope='row'><time data-at='{}' data-as='axis'>{}</time></th>{}</tr>").format(
            at_ms,
            utc(at_ms),
            Markup("").join(
                Markup("<td>{}</td>").format(
                    "" if one.values[n] is None else written(one.values[n] or 0.0, chart.unit)
                )
                for one in chart.series
            ),
        )
        for n, at_ms in enumerate(chart.instants)
    )
    return Markup(
        '<details class="numbers"><summary>Numbers</summary><div class="wide"><table><caption>{}</caption>'
        "<thead><tr><th scope='col'>Time</th>{}</tr></thead><tbody>{}</tbody></table></div></details>"
    ).format(escape(chart.title), head, rows)
