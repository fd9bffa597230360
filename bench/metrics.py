"""What is measured: the names, units and directions of all figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Section = Literal[
    "Enqueueing",
    "Draining",
    "Payloads",
    "Latency",
    "Scale",
    "Resources",
    "Delays and schedules",
    "Features",
    "SQLite",
]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a report."""

    name: str
    title: str
    unit: str
    section: Section
    higher_is_better: bool = False


def _rate(name: str, title: str, section: Section) -> Metric:
    return Metric(name, title, "jobs/s", section, higher_is_better=True)


PAYLOADS: Final = {
    "dict": "a dict of 7 keys, 207 B",
    "nested": "a nested dict of 1 KB",
    "dataclass": "that dict as a dataclass",
    "struct": "that dict as a msgspec.Struct",
    "pydantic": "that dict as a pydantic model",
}

METRICS: Final = {
    metric.name: metric
    for metric in (
        _rate("bulk", "Bulk enqueue", "Enqueueing"),
        _rate("single", "One by one, asynchronous", "Enqueueing"),
        _rate("concurrent", "Single enqueues, 100 at once", "Enqueueing"),
        _rate("blocking", "One by one, blocking", "Enqueueing"),
        Metric("bulk-producer-cpu", "Producer CPU of a bulk enqueue", "us/job", "Enqueueing"),
        _rate("drain", "No-op jobs of 200 B, 1 worker process", "Draining"),
        _rate("drain-2", "No-op jobs of 200 B, 2 worker processes", "Draining"),
        _rate("drain-sleep", "Jobs that sleep 1 ms, 1 worker process", "Draining"),
        _rate("drain-cpu", "Jobs of 1 ms CPU, 1 worker process", "Draining"),
        _rate("drain-cpu-2", "Jobs of 1 ms CPU, 2 worker processes", "Draining"),
        _rate("drain-10k", "No-op jobs of 10 KB, 1 worker process", "Draining"),
        *(
            _rate(f"{name}-{kind}", f"{title}, jobs that carry {what}", "Payloads")
            for kind, what in PAYLOADS.items()
            for name, title in (
                ("bulk", "Bulk enqueue"),
                ("single", "One by one, asynchronous"),
                ("drain", "1 worker process"),
            )
        ),
        Metric("redis-cpu-drain", "Redis CPU of a drained job, no-op, 1 process", "us/job", "Resources"),
        Metric("redis-cpu-life", "Redis CPU of a job's whole life, no-op, 1 process", "us/job", "Resources"),
        Metric("worker-cpu", "Worker CPU of a job, no-op, 1 process, start included", "us/job", "Resources"),
        Metric("memory-waiting", "Redis memory of a waiting job of 200 B", "B/job", "Resources"),
        Metric("worker-memory", "Memory of the worker after a drain, 1 process", "MB", "Resources"),
        Metric("cold-start", "From the start of the worker to its first job", "ms", "Resources"),
        Metric("connections-11", "Connections of a worker of 11 queues", "", "Resources"),
        Metric(
            "idle-commands-11",
            "Redis commands, those of scripts included, of an idle worker, 11 queues",
            "1/s",
            "Resources",
        ),
        Metric(
            "lease-commands",
            "Redis commands, those of scripts included, while 1,000 jobs run",
            "1/s",
            "Resources",
        ),
        Metric("lease-redis-cpu", "Redis CPU while 1,000 jobs run", "ms/s", "Resources"),
        Metric("lease-worker-cpu", "Worker CPU while 1,000 jobs run", "ms/s", "Resources"),
        Metric("pickup-p50", "Pick-up at 50 jobs/s, p50", "ms", "Latency"),
        Metric("pickup-p95", "Pick-up at 50 jobs/s, p95", "ms", "Latency"),
        Metric("pickup-p99", "Pick-up at 50 jobs/s, p99", "ms", "Latency"),
        Metric("half-rate", "Rate at half load, as reached", "jobs/s", "Latency", higher_is_better=True),
        Metric("half-p50", "Pick-up at half load, p50", "ms", "Latency"),
        Metric("half-p95", "Pick-up at half load, p95", "ms", "Latency"),
        Metric("half-p99", "Pick-up at half load, p99", "ms", "Latency"),
        Metric("result-p50", "Enqueue to result, p50", "ms", "Latency"),
        Metric("result-p95", "Enqueue to result, p95", "ms", "Latency"),
        Metric("result-p99", "Enqueue to result, p99", "ms", "Latency"),
        _rate("queues-1", "One queue, beside the 200, 1 worker process", "Scale"),
        _rate("queues-11", "11 queues, 1 worker process", "Scale"),
        _rate("queues-200", "200 queues, 1 worker process", "Scale"),
        Metric(
            "queues-kept", "200 queues, of one queue right before", "ratio", "Scale", higher_is_better=True
        ),
        _rate("backlog-10k", "Backlog of 10,000, 1 worker process", "Scale"),
        _rate("backlog-100k", "Backlog of 100,000, 1 worker process", "Scale"),
        _rate("backlog-1m", "Backlog of 1,000,000, 1 worker process", "Scale"),
        Metric(
            "backlog-kept",
            "Backlog of 1,000,000, of one of 10,000 right before",
            "ratio",
            "Scale",
            higher_is_better=True,
        ),
        Metric("delayed-p50", "Delayed job, late by, p50", "ms", "Delays and schedules"),
        Metric("delayed-p95", "Delayed job, late by, p95", "ms", "Delays and schedules"),
        Metric("delayed-p99", "Delayed job, late by, p99", "ms", "Delays and schedules"),
        _rate("delayed-100k", "100,000 delayed jobs coming due at once", "Delays and schedules"),
        Metric("cron-p50", "Cron job of every second, late by, p50", "ms", "Delays and schedules"),
        Metric("cron-max", "Cron job of every second, late by, longest", "ms", "Delays and schedules"),
        Metric("feature-result", "Drain with a result, of plain", "ratio", "Features", higher_is_better=True),
        Metric(
            "feature-progress", "Drain with progress, of plain", "ratio", "Features", higher_is_better=True
        ),
        Metric(
            "feature-unique", "Drain of unique jobs, of plain", "ratio", "Features", higher_is_better=True
        ),
        Metric(
            "feature-retry",
            "Drain of jobs that fail once, of plain",
            "ratio",
            "Features",
            higher_is_better=True,
        ),
        Metric(
            "feature-limit",
            "Drain of jobs that ask the rate limiter, of plain",
            "ratio",
            "Features",
            higher_is_better=True,
        ),
        Metric(
            "feature-around",
            "Drain of jobs with a resource and one middleware, of plain",
            "ratio",
            "Features",
            higher_is_better=True,
        ),
        Metric(
            "feature-unique-bulk",
            "Bulk enqueue of unique jobs, of plain",
            "ratio",
            "Features",
            higher_is_better=True,
        ),
        Metric(
            "feature-around-bulk",
            "Bulk enqueue with `on_enqueue`, of plain",
            "ratio",
            "Features",
            higher_is_better=True,
        ),
    )
}
