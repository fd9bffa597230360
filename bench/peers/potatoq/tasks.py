"""potatoq's worker side: `potatoq -A bench.peers.potatoq.tasks worker`; Redis or SQLite by the address."""

from __future__ import annotations

from potatoq import Potatoq

from bench.inside.recorder import SETTINGS, record, run_blocking

url = SETTINGS.url if SETTINGS.url.startswith("redis:") else f"sqlite:///{SETTINGS.url}"
app = Potatoq("bench", broker=url)
app.conf.task_default_queue = SETTINGS.queues[0]
if SETTINGS.feature == "result":
    app.conf.result_backend = "broker"


@app.task(name="job", ignore_result=True)
def job(number: int, text: str) -> None:
    """The job of every test."""
    run_blocking(number)


@app.task(name="result")
def result(number: int, text: str) -> int:
    """A job whose result is kept."""
    record(number)
    return number
