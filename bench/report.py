"""The report: Markdown with a table a metric and the most telling figures as plots. Whoever wins a row stands first."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from bench.figures import advantage
from bench.metrics import METRICS
from bench.plot import Bar, bar_chart, figure

if TYPE_CHECKING:
    from bench.metrics import Metric
    from bench.results import Results

LIMITS: Final = ("redis-limit", "redis-floor")
_PLOTTED: Final = (
    "drain",
    "drain-2",
    "bulk",
    "single",
    "concurrent",
    "blocking",
    "pickup-p50",
    "pickup-p99",
    "result-p50",
    "delayed-p95",
    "redis-cpu-life",
    "memory-waiting",
)
_FOLDER: Final = "performance"
_LEAD: Final = "drain"  # the plot that the page begins with
_HEADER: Final = """# Performance

Headway and other job systems for Python and Node ran the same loads on one machine, one system at a time: jobs were
enqueued, run by a worker, and their results read. Measured was how many jobs a second each step manages, how long a job
waits for its worker, and what that takes of processor and memory.
"""
_HOW: Final = """\
This page is made by `make bench`; do not edit it. `bench/README.md` says how each figure comes about, and how to repeat
it.

Each figure is the median over the rounds, with the range beside it; peers take turns within a round. *Headway is* says
how many times better Headway is than the peer in that row: 2.0 is twice as good, below 1 the peer is better. On every
run each job was checked to have run exactly once.
"""


def plots(results: Results) -> dict[str, str]:
    """Return the plots by file name."""
    drawn: dict[str, str] = {}
    for name in _PLOTTED:
        bars = [
            Bar(peer, statistics.median(values), min(values), max(values), _kind(peer))
            for peer, values in _ranked(results, METRICS[name])
        ]
        if len(bars) > 1:
            drawn[f"{name}.svg"] = bar_chart(METRICS[name].title, METRICS[name].unit, bars)
    return drawn


def report(results: Results) -> str:
    """Return the Markdown."""
    drawn = plots(results)
    parts = [_HEADER, _plot(_LEAD, drawn), _HOW, _summary(results), _machine(results)]
    section = ""
    for metric in sorted(METRICS.values(), key=lambda metric: _SECTIONS.index(metric.section)):
        ranked = _ranked(results, metric)
        if not ranked:
            continue
        if metric.section != section:
            section = metric.section
            parts.append(f"## {section}\n")
        parts.append(_table(metric, ranked, results))
        if metric.name != _LEAD:
            parts.append(_plot(metric.name, drawn))
    parts += [_configurations(results), _failures(results)]
    return "\n".join(part for part in parts if part)


_SECTIONS: Final = tuple(dict.fromkeys(metric.section for metric in METRICS.values()))


def _plot(name: str, drawn: dict[str, str]) -> str:
    """Return the line that shows a metric's plot; empty where none was drawn."""
    return f"![{METRICS[name].title}]({_FOLDER}/{name}.svg)\n" if f"{name}.svg" in drawn else ""


def _kind(peer: str) -> str:
    return "h" if peer.startswith("headway") else "l" if peer in LIMITS else "b"


def _ranked(results: Results, metric: Metric) -> list[tuple[str, list[float]]]:
    """The peers of a metric, the best first."""
    found = [(peer, values) for peer, values in results.values.get(metric.name, {}).items() if values]
    return sorted(found, key=lambda item: statistics.median(item[1]), reverse=metric.higher_is_better)


def _table(metric: Metric, ranked: list[tuple[str, list[float]]], results: Results) -> str:
    goal = "more is better" if metric.higher_is_better else "less is better"
    unit = f", {metric.unit}" if metric.unit else ""
    lines = [
        f"### {metric.title}{unit}\n",
        f"{goal[0].upper()}{goal[1:]}.\n",
        "| | median | range | Headway is |",
        "|---|---:|---:|---:|",
    ]
    for peer, values in ranked:
        middle = statistics.median(values)
        span = f"{figure(min(values))}-{figure(max(values))}" if len(values) > 1 else ""
        subject = _subject(results, peer)
        own = results.values[metric.name].get(subject)
        ratio = None
        if own and peer != subject:
            ratio = advantage(statistics.median(own), middle, higher_is_better=metric.higher_is_better)
        bold = "**" if peer.startswith("headway") else ""
        lines.append(
            f"| {bold}{peer}{bold} | {figure(middle)} | {span} | {'' if ratio is None else f'{figure(ratio)} x'} |"
        )
    return "\n".join([*lines, ""])


def _subject(results: Results, peer: str) -> str:
    record = results.peers.get(peer)
    return "headway-sqlite" if record is not None and record.carrier == "sqlite" else "headway"


def _summary(results: Results) -> str:
    """Where a peer is better than Headway, said first and plainly."""
    behind: list[str] = []
    for metric in METRICS.values():
        values = results.values.get(metric.name, {})
        for subject in ("headway", "headway-sqlite"):
            better = [
                f"{peer} ({_lead(metric, statistics.median(values[subject]), statistics.median(figures))})"
                for peer, figures in _ranked(results, metric)
                if subject in values
                and peer not in LIMITS
                and not peer.startswith("headway")
                and _subject(results, peer) == subject
                and _is_better(metric, statistics.median(figures), statistics.median(values[subject]))
            ]
            if better:
                behind.append(f"- {metric.title}: {subject} is behind {', '.join(better)}")
    if not behind:
        return "In this run no peer is better than Headway in any row.\n"
    title = "## Where another is better\n"
    return "\n".join(
        [title, "All rows in which a peer is better than Headway, and how many times:\n", *behind, ""]
    )


def _is_better(metric: Metric, one: float, other: float) -> bool:
    return one > other if metric.higher_is_better else one < other


def _lead(metric: Metric, own: float, other: float) -> str:
    """How many times better `other` is; where one of them is nothing, the figure itself."""
    ratio = advantage(other, own, higher_is_better=metric.higher_is_better)
    return figure(other) if ratio is None else f"{figure(ratio)} x"


def _machine(results: Results) -> str:
    machine = results.machine
    lines = [
        "## Machine\n",
        f"- {machine['processor']}, {machine['usable_cores']} cores, {machine['memory_gb']} GB, {machine['system']}",
        f"- {machine['server']}, append-only file with fsync every second, on the loopback, fresh for each measurement",
        f"- Python {machine['python']}, commit {machine['commit']}",
        (
            f"- {results.started}, {results.rounds} rounds, {results.seconds / 60:.0f} minutes, "
            f"{results.checked:,} jobs checked, load before the run {machine['load_before']}"
        ),
    ]
    if results.quick:
        lines.append("- A quick run: a quarter of the jobs, one round. Do not cite it.")
    return "\n".join([*lines, ""])


def _configurations(results: Results) -> str:
    lines = ["## Configurations\n"]
    for peer in results.peers.values():
        if peer.missing:
            lines.append(f"- **{peer.name}** could not take part: {peer.missing}")
            continue
        versions = ", ".join(f"{name} {version}" for name, version in sorted(peer.versions.items()))
        lines.append(f"- **{peer.name}**: {peer.configuration}. Versions: {versions}.")
    return "\n".join([*lines, ""])


def _failures(results: Results) -> str:
    if not results.failures:
        return ""
    lines = ["## What did not come to a figure\n", "| peer | test | round | | why |", "|---|---|---|---|---|"]
    for failure in results.failures:
        reason = failure.reason.replace("|", "\\|")
        lines.append(f"| {failure.peer} | {failure.test} | {failure.round} | {failure.kind} | {reason} |")
    return "\n".join([*lines, ""])
