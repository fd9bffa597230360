"""Real payloads, out of the Redis of a queue: some hundred of each name, and no more calls than that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headway.migrate.found import FoundJob, FoundSchedule, FoundState
from headway.migrate.opening import SourceOptions, open_source

if TYPE_CHECKING:
    from headway.migrate.source import Source

_STATES: Final = (*(state for state in FoundState if state.waits), FoundState.FAILED, FoundState.COMPLETED)
_READ: Final = 5_000  # jobs of a queue that are read at most


class Sample(Struct):
    """Payloads by queue and name, and what was seen beside them."""

    payloads: dict[tuple[str, str], list[Any]] = {}
    attempts: dict[tuple[str, str], FoundJob] = {}
    schedules: list[FoundSchedule] = []
    queues: list[str] = []


async def sample(kind: str, url: str, *, prefix: str | None, most: int) -> Sample:
    """Read at most `most` payloads of each name of a job; raises as a source does."""
    source = open_source(kind, url, SourceOptions(prefix=prefix))
    found = Sample()
    await source.open()
    try:
        for queue in await source.queues():
            found.queues.append(queue)
            found.schedules += await source.repeatables(queue)
            await _read(source, queue, found, most)
    finally:
        await source.close()
    return found


async def _read(source: Source, queue: str, found: Sample, most: int) -> None:
    read = 0
    for state in _STATES:
        async for page in source.pages(queue, [state]):
            for job in page:
                read += 1
                if job.refusal or not job.args:
                    continue
                payloads = found.payloads.setdefault((queue, job.name), [])
                if len(payloads) < most:
                    payloads.append(job.args[0])
                found.attempts.setdefault((queue, job.name), job)
            if read >= _READ:
                return
            if page and all(len(found.payloads.get((queue, job.name), ())) >= most for job in page):
                break
