"""Values of other libraries' types, made plain before anything is sent."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headway.brokers.base import LogLine, Progress
from headway.text import real


class Number(float):
    """A number of a library's own, such as numpy's."""


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats() | st.integers() | st.booleans() | st.decimals(allow_nan=False) | st.fractions())
def test_a_number_of_any_kind_becomes_a_plain_float(value: Any) -> None:
    made = real(value)
    assert type(made) is float
    if math.isfinite(made):
        assert made == pytest.approx(float(value))


@pytest.mark.parametrize(
    "value", ["0.5", b"0.5", None, 1j, object(), [0.5]], ids=lambda value: type(value).__name__
)
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=f"a number is wanted, got {type(value).__name__}"):
        real(value)


def test_reports_hold_plain_values() -> None:
    progress = Progress(Number(0.5), "a\ud800b")
    assert type(progress.fraction) is float
    assert progress == Progress(0.5, "a\\ud800b")
    assert LogLine(1, "info", "x" * 20_000).message == "x" * 10_000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_a_report_without_bounds_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Progress(value)
