"""Queues and workers by HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headway.job import JobState
from headway.server.instants import Instant
from headway.server.rest.operation import Call, Reply, operation
from headway.server.rest.wire import milliseconds
from headway.server.services.queues import MOST_CLEANED, Emptied, Queue
from headway.server.services.workers import Drained, Worker


class QueueList(Struct, frozen=True):
    """Queues, sorted by name."""

    queues: list[Queue]


class WorkerList(Struct, frozen=True):
    """Workers, by carrier and name."""

    workers: list[Worker]


class Pause(Struct, frozen=True, forbid_unknown_fields=True):
    """Until when; null: until somebody resumes it."""

    until: Instant | None = None


class Clean(Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs are cleaned away: those that ended in `state` longer ago than `older_than`."""

    state: JobState
    older_than: Annotated[str, Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h|d)?$")] = "0"
    limit: Annotated[int, Meta(ge=1, le=MOST_CLEANED)] = MOST_CLEANED


@operation(answer=QueueList)
async def list_queues(call: Call) -> Reply:
    """List the queues with their jobs by state, and since when the oldest one waits."""
    return Reply(QueueList(await call.state.services.queues.list(call.caller)))


@operation(answer=Queue)
async def get_queue(call: Call) -> Reply:
    """Return one queue."""
    return Reply(await call.state.services.queues.get(call.caller, call.path["queue"]))


@operation(body=Pause, answer=Queue, body_optional=True, example={"until": "2030-01-31T09:00:00Z"})
async def pause_queue(call: Call) -> Reply:
    """Hand out no more jobs of the queue, until it is resumed or until an instant.

    Running jobs go on, new ones are accepted. An instant is kept by the server: the queue is resumed by whichever
    server process runs then, or by the first that starts later.
    """
    until = call.body.until if call.body is not None else None
    return Reply(await call.state.services.queues.pause(call.caller, call.path["queue"], until))


@operation(answer=Queue)
async def resume_queue(call: Call) -> Reply:
    """Hand out jobs of the queue again."""
    return Reply(await call.state.services.queues.resume(call.caller, call.path["queue"]))


@operation(answer=Emptied)
async def drain_queue(call: Call) -> Reply:
    """Remove all jobs that wait in the queue, also delayed ones."""
    return Reply(await call.state.services.queues.drain(call.caller, call.path["queue"]))


@operation(body=Clean, answer=Emptied, example={"state": "failed", "older_than": "7d"})
async def clean_queue(call: Call) -> Reply:
    """Remove jobs of the queue that ended."""
    given: Clean = call.body
    return Reply(
        await call.state.services.queues.clean(
            call.caller,
            call.path["queue"],
            given.state,
            older_than_ms=milliseconds(given.older_than, "older_than"),
            limit=given.limit,
        )
    )


@operation(answer=WorkerList)
async def list_workers(call: Call) -> Reply:
    """List the workers that hold jobs or listen for some."""
    return Reply(WorkerList(await call.state.services.workers.list(call.caller)))


@operation(answer=Drained)
async def drain_worker(call: Call) -> Reply:
    """Ask a worker to claim no more, to finish what it runs within its grace time, and to end.

    Its supervisor starts a new one in its place at once. What is not finished in time goes back to its queue and costs
    no attempt. Asked again, it is asked once.
    """
    return Reply(await call.state.services.workers.drain(call.caller, call.path["worker"]))
