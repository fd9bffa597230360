from __future__ import annotations

import pytest

from bench.figures import advantage, percentile


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.99, 5.0),
        ([1.0, 2.0], 0.5, 1.5),
        ([4.0, 1.0, 3.0, 2.0], 0.0, 1.0),
        ([4.0, 1.0, 3.0, 2.0], 1.0, 4.0),
        ([float(n) for n in range(101)], 0.95, 95.0),
    ],
)
def test_a_percentile_lies_between_its_neighbours(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_twice_the_rate_and_half_the_latency_are_the_same_advantage() -> None:
    assert advantage(200, 100, higher_is_better=True) == 2
    assert advantage(5, 10, higher_is_better=False) == 2


@pytest.mark.parametrize(("own", "other"), [(0, 1), (1, 0), (-1, 2)])
def test_nothing_is_a_multiple_of_nothing(own: float, other: float) -> None:
    assert advantage(own, other, higher_is_better=True) is None
