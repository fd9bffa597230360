"""Figures, tasks and dead letters by HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headway.server.instants import Instant
from headway.server.rest.operation import Call, Reply, operation
from headway.server.rest.wire import milliseconds
from headway.server.services.failures import ErrorGroup, Failures
from headway.server.services.figures import By, FiguresView
from headway.server.services.tasks import TaskView


class FiguresQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Of which time, in which spans, of which queue, told apart by what."""

    since: Instant | None = None
    until: Instant | None = None
    span: Annotated[str, Meta(pattern=r"^[0-9]{1,6}(m|h|d)$")] = "1m"
    queue: str | None = None
    by: By = By.QUEUE


class TaskList(Struct, frozen=True):
    """Tasks, sorted by name."""

    tasks: list[TaskView]


class FailuresQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Of which queues and tasks."""

    queue: tuple[str, ...] = ()
    task: tuple[str, ...] = ()


@operation(query=FiguresQuery, answer=FiguresView)
async def read_figures(call: Call) -> Reply:
    """Return what became of jobs, per span of time: of the last hour unless a time is given."""
    asked: FiguresQuery = call.query
    return Reply(
        await call.state.services.figures.read(
            call.caller,
            since=asked.since,
            until=asked.until,
            span_ms=milliseconds(asked.span, "span"),
            queue=asked.queue,
            by=asked.by,
        )
    )


@operation(answer=TaskList)
async def list_tasks(call: Call) -> Reply:
    """List the tasks, with the JSON Schema of their arguments and results."""
    return Reply(TaskList(call.state.services.tasks.list(call.caller)))


@operation(answer=TaskView)
async def get_task(call: Call) -> Reply:
    """Return one task."""
    return Reply(call.state.services.tasks.get(call.caller, call.path["task"]))


@operation(query=FailuresQuery, answer=Failures)
async def list_failures(call: Call) -> Reply:
    """List failed jobs by error group: jobs whose last error has one type and came from one place."""
    asked: FailuresQuery = call.query
    return Reply(await call.state.services.failures.list(call.caller, queue=asked.queue, task=asked.task))


@operation(answer=ErrorGroup)
async def get_failure(call: Call) -> Reply:
    """Return one error group."""
    return Reply(await call.state.services.failures.get(call.caller, call.path["group"]))
