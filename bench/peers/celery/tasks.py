"""Celery's worker side: `celery --app bench.peers.celery.tasks worker`."""

from __future__ import annotations

from celery import Celery

from bench.inside.recorder import SETTINGS, record, run_blocking

app = Celery("bench", broker=SETTINGS.url, backend=SETTINGS.url if SETTINGS.feature == "result" else None)
app.conf.update(
    task_default_queue=SETTINGS.queues[0],
    task_ignore_result=SETTINGS.feature != "result",
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="job")
def job(number: int, text: str) -> None:
    """The job of every test."""
    run_blocking(number)


@app.task(name="result")
def result(number: int, text: str) -> int:
    """A job whose result is kept."""
    record(number)
    return number
