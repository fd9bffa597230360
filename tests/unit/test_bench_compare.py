from __future__ import annotations

from bench.compare import compare, describe, lost_metrics
from bench.results import PeerRecord, Results


def run_of(**values: dict[str, list[float]]) -> Results:
    results = Results(machine={}, started="", rounds=3, quick=False)
    for metric, by_peer in values.items():
        results.values[metric.replace("_", "-")] = by_peer
        for peer in by_peer:
            results.peers[peer] = PeerRecord(peer, "", "redis", {})
    return results


def test_a_slower_machine_is_no_loss() -> None:
    old = run_of(drain={"headway": [40_000.0], "bullmq": [8_000.0]})
    new = run_of(drain={"headway": [20_000.0], "bullmq": [4_000.0]})
    (change,) = compare(old, new)
    assert change.old == change.new == 5
    assert not change.lost


def test_a_loss_of_more_than_fifteen_percent_against_the_reference_counts() -> None:
    old = run_of(drain={"headway": [100.0], "bullmq": [10.0]})
    assert not compare(old, run_of(drain={"headway": [86.0], "bullmq": [10.0]}))[0].lost
    assert compare(old, run_of(drain={"headway": [84.0], "bullmq": [10.0]}))[0].lost


def test_a_longer_latency_is_a_loss_and_a_shorter_one_is_not() -> None:
    old = run_of(pickup_p50={"headway": [1.0], "bullmq": [2.0]})
    assert compare(old, run_of(pickup_p50={"headway": [1.3], "bullmq": [2.0]}))[0].lost
    assert not compare(old, run_of(pickup_p50={"headway": [0.5], "bullmq": [2.0]}))[0].lost


def test_medians_are_compared_not_single_rounds() -> None:
    old = run_of(drain={"headway": [100.0, 100.0, 100.0], "bullmq": [10.0]})
    new = run_of(drain={"headway": [100.0, 20.0, 100.0], "bullmq": [10.0]})
    assert compare(old, new)[0].factor == 1


def test_the_reference_is_one_that_both_runs_have() -> None:
    old = run_of(blocking={"headway": [10.0], "dramatiq": [5.0], "bullmq": [1.0]})
    new = run_of(blocking={"headway": [10.0], "dramatiq": [5.0]})
    assert compare(old, new)[0].reference == "dramatiq"


def test_sqlite_is_held_against_sqlite() -> None:
    both = run_of(drain={"headway-sqlite": [10.0], "huey-sqlite": [5.0], "bullmq": [1.0]})
    assert compare(both, both)[0].reference == "huey-sqlite"


def test_runs_without_a_common_figure_give_nothing() -> None:
    assert compare(run_of(drain={"headway": [1.0]}), run_of(drain={"headway": [1.0]})) == []


def test_a_figure_that_is_gone_is_named() -> None:
    old = run_of(drain={"headway": [1.0]}, single={"headway": [1.0]})
    assert lost_metrics(old, run_of(drain={"headway": [1.0]})) == ["headway: single"]


def test_the_table_begins_with_the_worst() -> None:
    old = run_of(drain={"headway": [100.0], "bullmq": [10.0]}, single={"headway": [10.0], "bullmq": [10.0]})
    new = run_of(drain={"headway": [100.0], "bullmq": [10.0]}, single={"headway": [5.0], "bullmq": [10.0]})
    lines = describe(compare(old, new)).splitlines()
    assert lines[1].split()[:2] == ["LOST", "single"]
    assert lines[2].split()[0] == "drain"
