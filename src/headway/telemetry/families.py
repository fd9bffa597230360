"""From figures to what Prometheus scrapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)

from headway.figures.histogram import BUCKETS_PER_DOUBLING, Histogram
from headway.telemetry.names import FIELDS, OF_FIGURES, Kind, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headway.figures.values import Counts

Labels = tuple[str, str, str]
"""Queue, task, carrier."""

_DOUBLINGS: Final = (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 21)
_BOUNDS: Final = tuple((f"{2**power / 1000:g}", power * BUCKETS_PER_DOUBLING) for power in _DOUBLINGS)
"""The upper bounds of 1 ms to 35 min, in seconds, and the last of the figures' buckets that lies below each."""


def family(metric: Metric) -> Any:  # noqa: ANN401 - one of three
    """Return an empty family for a metric."""
    match metric.kind:
        case Kind.COUNTER:
            return CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=metric.labels)
        case Kind.GAUGE:
            return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        case Kind.HISTOGRAM:
            return HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)


def of_values(metric: Metric, values: Mapping[tuple[str, ...], float]) -> Family:
    """Return a family of counters or gauges, by the values of their labels."""
    made: Family = family(metric)
    add: Any = made
    for labels, value in values.items():
        add.add_metric(labels, value)
    return made


def of_counts(metrics: Sequence[Metric], counts: Mapping[Labels, Counts]) -> Iterator[Family]:
    """Yield the families of the figures, in the order of `names.OF_FIGURES`."""
    for metric, plain in zip(metrics, OF_FIGURES, strict=False):
        made = family(metric)
        field = FIELDS[plain.name]
        for labels, one in counts.items():
            value: Any = getattr(one, field)
            if isinstance(value, Histogram):
                made.add_metric(labels, buckets=_buckets(value), sum_value=_seconds(value))
            else:
                made.add_metric(labels, value)
        yield made


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    total = histogram.total
    below = [(bound, float(total - histogram.from_bucket(last + 1))) for bound, last in _BOUNDS]
    return [*below, ("+Inf", float(total))]


def _seconds(histogram: Histogram) -> float:
    """Estimate the sum: each duration as the middle of its bucket, within 9 percent."""
    return sum(count * _middle(bucket) for bucket, count in histogram.counts) / 1000


def _middle(bucket: int) -> float:
    return 2 ** ((bucket - 0.5) / BUCKETS_PER_DOUBLING) if bucket else 0.5
