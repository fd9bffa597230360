"""All metrics by name: what they are called is a contract, as dashboards and alerts go by it.

Labels have few values by nature: tasks, queues, carriers and states, never ids. What a process keeps apart is bounded
besides: `(other)` stands for the rest.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct


class Kind(Enum):
    """What kind of metric it is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(Struct, frozen=True):
    """A metric: its name as it is scraped, its labels, and what it says."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


_JOB: Final = ("queue", "task", "carrier")
_COUNTS: Final = (
    ("attempts_started_total", "started", "Attempts that began."),
    ("jobs_succeeded_total", "succeeded", "Jobs that succeeded."),
    ("attempts_failed_total", "failed", "Attempts that ended with an error, whatever came next."),
    ("jobs_dead_total", "dead", "Jobs that went to the dead-letter state."),
    ("attempts_retried_total", "retried", "Attempts after which the job was scheduled again."),
    (
        "attempts_superseded_total",
        "superseded",
        "Outcomes that were refused: the lease had passed to somebody else.",
    ),
)
_DURATIONS: Final = (
    ("queue_latency_seconds", "latency", "From when an attempt was due to when it began."),
    ("attempt_duration_seconds", "duration", "From when an attempt began to when it ended."),
)
FIELDS: Final = {
    "jobs_enqueued_total": "enqueued",
    **{name: field for name, field, _ in (*_COUNTS, *_DURATIONS)},
}
"""The field of the figures that each metric is made of, by its name without `headway_` or `headway_process_`."""

OF_FIGURES: Final = (
    Metric("jobs_enqueued_total", Kind.COUNTER, _JOB, "Jobs that were accepted."),
    *(Metric(name, Kind.COUNTER, _JOB, text) for name, _, text in _COUNTS),
    *(Metric(name, Kind.HISTOGRAM, _JOB, text) for name, _, text in _DURATIONS),
)
"""Without their beginning: of an app and of processes there are the same."""

APP: Final = "headway_"
PROCESS: Final = "headway_process_"

OF_APP: Final = (
    *(
        Metric(f"{APP}{one.name}", one.kind, one.labels, f"{one.help} By all processes of the app.")
        for one in OF_FIGURES
    ),
    Metric("headway_jobs", Kind.GAUGE, ("queue", "carrier", "state"), "Jobs that the carrier has, by state."),
    Metric(
        "headway_oldest_ready_seconds",
        Kind.GAUGE,
        ("queue", "carrier"),
        "For how long the oldest ready job has waited; 0: none waits.",
    ),
    Metric("headway_queue_paused", Kind.GAUGE, ("queue", "carrier"), "1 while the queue is paused."),
    Metric(
        "headway_carrier_up",
        Kind.GAUGE,
        ("carrier",),
        "1 when the carrier answered when it was asked for its jobs.",
    ),
    Metric("headway_workers", Kind.GAUGE, ("carrier",), "Workers that the carrier knows."),
    Metric(
        "headway_route_weight",
        Kind.GAUGE,
        ("queue", "carrier"),
        "Percent of the queue's new jobs that go to the carrier.",
    ),
    Metric("headway_routes_version", Kind.GAUGE, (), "Version of the routes that is in force."),
    Metric(
        "headway_rollout_state",
        Kind.GAUGE,
        ("queue", "state"),
        "1 for the state that the queue's roll-out is in.",
    ),
    Metric(
        "headway_rollout_percent",
        Kind.GAUGE,
        ("queue",),
        "Percent of the queue's jobs that its roll-out sends to the new carrier.",
    ),
    Metric(
        "headway_records_lag_seconds",
        Kind.GAUGE,
        ("carrier",),
        "For how long what happened has not been recorded yet.",
    ),
    Metric(
        "headway_records_gaps_total",
        Kind.COUNTER,
        ("carrier",),
        "Times that events were lost before they were recorded.",
    ),
    Metric("headway_records_up", Kind.GAUGE, (), "1 when the database of the records answered."),
    Metric(
        "headway_spool_jobs",
        Kind.GAUGE,
        ("queue", "carrier"),
        "Jobs in this host's spool that wait for their carrier to come back.",
    ),
    Metric(
        "headway_spool_parked_jobs",
        Kind.GAUGE,
        (),
        "Jobs in this host's spool that were set aside, since only people can decide about them.",
    ),
    Metric(
        "headway_spool_oldest_seconds",
        Kind.GAUGE,
        (),
        "For how long the oldest job has waited in this host's spool; 0: none waits.",
    ),
    Metric(
        "headway_spool_bytes",
        Kind.GAUGE,
        (),
        "Bytes of the jobs in this host's spool.",
    ),
    Metric(
        "headway_spool_flushed_total",
        Kind.COUNTER,
        (),
        "Jobs that were brought from this host's spool to their carrier.",
    ),
    Metric(
        "headway_breakers_open",
        Kind.GAUGE,
        ("carrier",),
        "Processes of this host for which the carrier is away.",
    ),
)
"""What one process, the server or a recorder, says of the whole app."""

OF_PROCESSES: Final = (
    *(
        Metric(f"{PROCESS}{one.name}", one.kind, one.labels, f"{one.help} By the processes behind this port.")
        for one in OF_FIGURES
    ),
    Metric("headway_processes", Kind.GAUGE, (), "Processes behind this port that run jobs."),
    Metric("headway_process_places", Kind.GAUGE, (), "Jobs that they can run at once."),
    Metric("headway_process_places_used", Kind.GAUGE, (), "Jobs that they hold."),
    Metric("headway_process_connections", Kind.GAUGE, (), "Connections to carriers that are open."),
    Metric("headway_process_commands_total", Kind.COUNTER, (), "Commands sent to carriers."),
    Metric(
        "headway_process_leases_lost_total", Kind.COUNTER, (), "Leases that ran out while their worker lived."
    ),
)
"""What the processes of one worker or receiver say of themselves."""

ALL: Final = (*OF_APP, *OF_PROCESSES)
