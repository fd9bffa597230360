from __future__ import annotations

import pytest

from bench.against import both_sides, pairs_of, table
from bench.results import Results


def results_of(**values: dict[str, list[float]]) -> Results:
    results = Results(machine={}, started="", rounds=3, quick=False)
    results.values = {metric.replace("_", "-"): by_peer for metric, by_peer in values.items()}
    return results


def test_a_slow_minute_of_the_machine_hits_both() -> None:
    [pair] = pairs_of(
        results_of(drain={"headway": [100.0, 50.0, 99.0], "headway-before": [100.0, 50.0, 100.0]})
    )
    assert pair.factor == 1
    assert not pair.slower(0.03)


def test_more_is_better_of_rates_and_less_of_latencies() -> None:
    pairs = pairs_of(
        results_of(
            drain={"headway": [90.0], "headway-before": [100.0]},
            pickup_p50={"headway": [0.9], "headway-before": [1.0]},
        )
    )
    assert {pair.metric: pair.slower(0.03) for pair in pairs} == {"drain": True, "pickup-p50": False}
    lines = table(pairs, "abc").splitlines()
    assert "-10.0%" in lines[1]
    assert "+11.1%" in lines[2]


def test_what_only_one_side_has_is_no_pair() -> None:
    assert pairs_of(results_of(drain={"headway": [90.0], "bullmq": [1.0]})) == []


def test_a_revision_that_git_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="git rev-parse"):
        both_sides("--upload-pack=x")
