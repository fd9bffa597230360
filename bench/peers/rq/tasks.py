"""RQ's worker side: `rq worker --worker-class rq.worker.SimpleWorker`."""

from __future__ import annotations

from bench.inside.recorder import record, run_blocking


def job(number: int, text: str) -> None:
    """The job of every test."""
    run_blocking(number)


def result(number: int, text: str) -> int:
    """A job whose result is kept."""
    record(number)
    return number
