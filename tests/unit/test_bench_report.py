from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from bench.plot import Bar, bar_chart, figure
from bench.report import plots, report
from bench.results import Failure, PeerRecord, Results, read_results, write_results

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def results() -> Results:
    made = Results(
        machine={
            "processor": "a processor",
            "cores": 2,
            "usable_cores": 2,
            "memory_gb": 16,
            "system": "Linux",
            "python": "3.11",
            "server": "Valkey 9.1",
            "commit": "abc",
            "load_before": 0.1,
        },
        started="2026-11-22T00:00:00+00:00",
        rounds=2,
        quick=False,
        seconds=60,
        checked=1000,
    )
    for peer in ("headway", "bullmq", "rq"):
        made.peers[peer] = PeerRecord(peer, f"how {peer} is set", "redis", {peer: "1.0"})
    made.peers["gone"] = PeerRecord("gone", "", "redis", {}, missing="npm is not on PATH")
    for value in (30_000, 40_000):
        made.add("headway", "drain", value)
    made.add("bullmq", "drain", 7000)
    made.add("headway", "pickup-p50", 2.0)
    made.add("bullmq", "pickup-p50", 1.0)
    made.failures.append(Failure("rq", "drain", 1, "deadline", "3 of 4 jobs ran within 90 s"))
    return made


def test_results_survive_the_file(results: Results, tmp_path: Path) -> None:
    write_results(results, tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == results


def test_results_of_another_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"format": 0}')
    with pytest.raises(ValueError, match="not results of this version"):
        read_results(tmp_path / "old.json")


def test_the_best_stands_first_with_its_range_and_the_ratio(results: Results) -> None:
    lines = report(results).splitlines()
    first = lines.index("| **headway** | 35,000 | 30,000-40,000 |  |")
    assert lines[first + 1] == "| bullmq | 7,000 |  | 5.00 x |"


def test_the_page_begins_with_what_was_measured_and_one_plot(results: Results) -> None:
    title, said, plot, *_ = report(results).split("\n\n")
    assert title == "# Performance"
    assert len(said.split(". ")) == 2
    assert plot == "![No-op jobs of 200 B, 1 worker process](performance/drain.svg)"
    assert report(results).count("drain.svg") == 1


def test_where_a_peer_wins_is_said_at_the_top(results: Results) -> None:
    text = report(results)
    assert "- Pick-up at 50 jobs/s, p50: headway is behind bullmq (2.00 x)" in text
    assert text.index("headway is behind bullmq") < text.index("## Machine")
    lines = text.splitlines()
    assert lines.index("| bullmq | 1.00 |  | 0.50 x |") < lines.index("| **headway** | 2.00 |  |  |")


def test_a_peer_that_needs_nothing_at_all_is_better_too(results: Results) -> None:
    results.add("headway", "idle-commands-11", 4.0)
    results.add("rq", "idle-commands-11", 0.0)
    assert "headway is behind rq (0.00)" in report(results)


def test_who_is_missing_and_what_failed_is_said(results: Results) -> None:
    text = report(results)
    assert "**gone** could not take part: npm is not on PATH" in text
    assert "| rq | drain | 1 | deadline | 3 of 4 jobs ran within 90 s |" in text


def test_plots_are_well_formed_and_the_same_each_time(results: Results) -> None:
    drawn = plots(results)
    assert set(drawn) == {"drain.svg", "pickup-p50.svg"}
    assert drawn == plots(results)
    for text in drawn.values():
        ET.fromstring(text)  # noqa: S314 - our own text
    assert all(f"performance/{name}" in report(results) for name in drawn)


def test_text_in_a_plot_is_escaped() -> None:
    text = bar_chart("a < b & c", "jobs/s", [Bar("<peer>", 1.0, 1.0, 1.0, "b")])
    assert ET.fromstring(text).tag.endswith("svg")  # noqa: S314 - our own text


@pytest.mark.parametrize(
    ("value", "text"), [(123456.7, "123,457"), (45.67, "45.7"), (1.234, "1.23"), (0, "0.00")]
)
def test_figures_show_three_digits(value: float, text: str) -> None:
    assert figure(value) == text


def test_a_failed_check_fails_the_run(results: Results) -> None:
    assert not results.failed
    results.failures.append(Failure("headway", "drain", 1, "check", "of 3 jobs 1 did not run"))
    assert results.failed
