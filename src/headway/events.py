"""Life-cycle events: what happened to a job, when, under which epoch; and one job's as a stream for browsers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct, json

from headway.job import JobId, WorkerId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_KEEP_ALIVE: Final = 15.0  # seconds without a change


class EventKind(StrEnum):
    """What happened. The terminal kinds carry the names of the terminal states; each occurs at most once a life."""

    ENQUEUED = "enqueued"  # accepted, ready or scheduled
    STARTED = "started"  # claimed by a worker
    RETRY = "retry"  # an attempt ended, the next one is scheduled
    RELEASED = "released"  # handed back unfinished by its worker or its supervisor
    RECLAIMED = "reclaimed"  # taken back from a dead worker
    SUPERSEDED = "superseded"  # a settle under a stale epoch was refused
    RETRIED = "retried"  # a completed job was given a new life by hand
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REMOVED = "removed"


class Event(Struct, frozen=True, gc=False):
    """One event. `cursor` is opaque: give it back as `after` to go on behind this event.

    `attempt` is that which was started, counted from 1; 0 where it is not told, as with all other kinds.
    """

    cursor: str
    kind: EventKind
    job_id: JobId
    at_ms: int
    queue: str = ""
    epoch: int = 0
    worker: WorkerId | None = None
    attempt: int = 0


class WatchedJob(Protocol):
    """A job to be watched: a `JobHandle`, of an app that is open on the running loop."""

    @property
    def id(self) -> JobId:
        """The job's id."""
        ...

    async def record(self) -> Any:  # noqa: ANN401 - a JobInfo, which no module below the app knows
        """Return all that is known of the job; JobNotFoundError."""
        ...


class JobStream:
    """What happens to one job, as Server-Sent Events: an ASGI application, and an iterator of bytes.

    Events are `state` (with state, attempt, progress and its message), each time one of them changes, then `end`, or
    `gone` for a job that is not known any more. Arguments and results are not told.
    """

    media_type: Final = "text/event-stream"

    def __init__(self, job: WatchedJob, every: float = 0.5) -> None:
        """Made by `stream`."""
        self._job = job
        self._every = every

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI has no types of its own
        """Answer a request."""
        import asyncio  # noqa: PLC0415 - costs 30 ms that `import headway` need not pay

        headers = [
            (b"content-type", self.media_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]

        async def sending() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            if scope.get("method") != "HEAD":
                async for chunk in self:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        async def left() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        tasks = [asyncio.ensure_future(sending()), asyncio.ensure_future(left())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if tasks[0].done() and not tasks[0].cancelled():
            tasks[0].result()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the events as they are sent."""
        import asyncio  # noqa: PLC0415 - as above

        last: dict[str, Any] | None = None
        quiet = 0.0
        while True:
            try:
                info = await self._job.record()
            except LookupError:  # JobNotFoundError is one
                yield _sent("gone", {"id": self._job.id})
                return
            told = {
                "id": self._job.id,
                "state": info.state,
                "attempt": info.attempt,
                "progress": info.progress,
                "message": info.progress_message,
            }
            if told != last:
                last, quiet = told, 0.0
                yield _sent("state", told)
            if info.state.terminal:
                yield _sent("end", told)
                return
            if quiet >= _KEEP_ALIVE:
                quiet = 0.0
                yield b": keep-alive\n\n"
            await asyncio.sleep(self._every)
            quiet += self._every


def stream(job: WatchedJob, *, every: float = 0.5) -> JobStream:
    """Return what happens to a job as an ASGI response, for an application's own users: `stream(app.job(job_id))`.

    `every`: seconds between two looks at the job. Who may watch it is the application's to decide.
    """
    return JobStream(job, every)


def _sent(kind: str, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: ".encode() + json.encode(data) + b"\n\n"
