"""The stretches of time that charts show, and figures laid into them; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.clock import to_ms
from headway.dashboard.charts import Chart, Series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.server.services.figures import Figure

_MINUTE: Final = 60_000
_HOUR: Final = 3_600_000


class Span(Struct, frozen=True):
    """A stretch of time up to now, and the length of its parts (ms)."""

    name: str
    title: str
    length_ms: int
    step_ms: int


SPANS: Final = (
    Span("15m", "15 min", 15 * _MINUTE, _MINUTE),
    Span("1h", "1 h", _HOUR, _MINUTE),
    Span("6h", "6 h", 6 * _HOUR, 6 * _MINUTE),
    Span("2d", "2 d", 48 * _HOUR, 30 * _MINUTE),
    Span("30d", "30 d", 30 * 24 * _HOUR, 12 * _HOUR),
)


def span_of(name: str) -> Span:
    """Return the span of that name, or the one of an hour."""
    return next((one for one in SPANS if one.name == name), SPANS[1])


def instants(span: Span, now_ms: int) -> tuple[int, ...]:
    """Return the beginnings of its parts; the last one is under way."""
    last = now_ms - now_ms % span.step_ms
    count = span.length_ms // span.step_ms
    return tuple(last - (count - 1 - n) * span.step_ms for n in range(count))


def laid(
    at: Sequence[int],
    figures: Sequence[Figure],
    value: Callable[[Figure], float | None],
    empty: float | None = 0.0,
) -> tuple[float | None, ...]:
    """Return a value for each instant, `empty` where nothing happened. Several figures of one instant are added."""
    found: dict[int, float] = {}
    for one in figures:
        told = value(one)
        if told is not None:
            place = to_ms(one.at)
            found[place] = found.get(place, 0.0) + told
    return tuple(found.get(one, empty) for one in at)


def ended_chart(at: tuple[int, ...], figures: Sequence[Figure], title: str = "Attempts that ended") -> Chart:
    """Return what succeeded and failed, one on the other."""
    return Chart(
        title,
        at,
        (
            Series("succeeded", laid(at, figures, lambda one: one.succeeded), "good"),
            Series("failed", laid(at, figures, lambda one: one.failed), "bad"),
        ),
        shape="bars",
    )


def wait_chart(at: tuple[int, ...], figures: Sequence[Figure]) -> Chart:
    """Return how long jobs waited from due to start."""
    p50 = Series("p50", laid(at, figures, lambda one: one.latency_p50_ms, None), "wait")
    p95 = Series("p95", laid(at, figures, lambda one: one.latency_p95_ms, None), "later")
    return Chart("Wait until start", at, (p50, p95), unit="ms", empty="No job was started in this time.")


def time_chart(at: tuple[int, ...], figures: Sequence[Figure]) -> Chart:
    """Return how long attempts took."""
    p50 = Series("p50", laid(at, figures, lambda one: one.duration_p50_ms, None), "accent")
    p95 = Series("p95", laid(at, figures, lambda one: one.duration_p95_ms, None), "warn")
    return Chart("Time from start to end", at, (p50, p95), unit="ms", empty="No attempt ended in this time.")
