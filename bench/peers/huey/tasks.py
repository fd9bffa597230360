"""huey's worker side: `huey_consumer bench.peers.huey.tasks.huey`; Redis or SQLite by the address."""

from __future__ import annotations

from huey import RedisHuey, SqliteHuey

from bench.inside.recorder import SETTINGS, record, run_blocking

if SETTINGS.url.startswith("redis:"):
    huey = RedisHuey(SETTINGS.queues[0], url=SETTINGS.url)
else:
    huey = SqliteHuey(SETTINGS.queues[0], filename=SETTINGS.url)


@huey.task()
def job(number: int, text: str) -> None:
    """The job of every test."""
    run_blocking(number)


@huey.task()
def result(number: int, text: str) -> int:
    """A job whose result is kept."""
    record(number)
    return number
