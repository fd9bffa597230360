"""What a driver is opened with, beside its URL."""

from __future__ import annotations

from msgspec import Struct

from headway.config import Settings


class Retention(Struct, frozen=True):
    """How long completed jobs are kept. No cap on failed ones: the dead-letter state drops nothing before its time."""

    succeeded_ms: int = 24 * 3600 * 1000
    failed_ms: int = 7 * 24 * 3600 * 1000
    max_succeeded: int = (
        100_000  # of succeeded, cancelled and expired jobs; those of the last minute are kept in any case
    )


class BrokerSettings(Struct, frozen=True):
    """What a driver is opened with, beside its URL."""

    namespace: str  # the app's name: apps with different names never see each other's jobs
    retention: Retention = Retention()
    record_events: bool = False  # keep events also while nobody watches
    max_log_lines: int = 1000  # kept per job
    timeout_ms: int = 600_000  # the time limit of a job whose call and task name none
    timeouts: dict[str, int] = {}  # the same by task, in ms, as far as tasks are declared here
    options: Settings = Settings()  # those of the app: each driver reads its own among them
