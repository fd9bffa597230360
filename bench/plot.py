"""Bar charts as SVG: small, readable in light and dark mode, the same bytes for the same figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH: Final = 720
_LABEL: Final = 130
_FIGURE: Final = 130
_BAR: Final = 18
_STEP: Final = 26
_TOP: Final = 34
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#333}.t{font-weight:600}.b{fill:#9aa5b1}.h{fill:#2563eb}.l{fill:#d4a72c}"
    ".r{stroke:#333;stroke-width:1.5}@media(prefers-color-scheme:dark){text{fill:#ddd}.b{fill:#66707c}.h{fill:#60a5fa}"
    ".r{stroke:#ddd}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One peer: median and range."""

    name: str
    value: float
    low: float
    high: float
    kind: str  # h: Headway, l: a limit, b: a peer


def figure(value: float) -> str:
    """Write a number as people read it: three digits that count, thousands parted."""
    magnitude = abs(value)
    if magnitude >= 100:  # noqa: PLR2004 - from here on decimals say nothing
        return f"{value:,.0f}"
    return f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}"  # noqa: PLR2004 - as above


def bar_chart(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """Return the chart, in the order given; the line on a bar is the range over the rounds."""
    height = _TOP + _STEP * len(bars) + 6
    most = max((bar.high for bar in bars), default=0.0) or 1.0
    scale = (_WIDTH - _LABEL - _FIGURE) / most
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="t" x="0" y="18">{escape(title)}{f", {escape(unit)}" if unit else ""}</text>',
    ]
    for index, bar in enumerate(bars):
        y = _TOP + index * _STEP
        middle = y + _BAR / 2
        width = bar.value * scale
        parts += [
            f'<text x="{_LABEL - 8}" y="{middle + 4.5:g}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect class="{bar.kind}" x="{_LABEL}" y="{y}" width="{max(1.0, width):.1f}" height="{_BAR}" rx="2"/>',
        ]
        if bar.high > bar.low:
            parts.append(
                f'<line class="r" x1="{_LABEL + bar.low * scale:.1f}" x2="{_LABEL + bar.high * scale:.1f}" '
                f'y1="{middle:g}" y2="{middle:g}"/>'
            )
        edge = _LABEL + max(width, bar.high * scale) + 6
        parts.append(f'<text x="{edge:.1f}" y="{middle + 4.5:g}">{figure(bar.value)}</text>')
    return "\n".join([*parts, "</svg>", ""])
