"""Middleware around each run and hooks before each enqueue: for traces, logs, sessions, limits."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from headway.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.app.lifespan import Resource, Resources
    from headway.job import JobId

T = TypeVar("T")

Proceed: TypeAlias = Callable[[], Awaitable[Any]]
"""Calls the next middleware, the last one the handler. Returns its value, or raises its exception."""


class JobCall:
    """A run of a job, as middleware sees it. `args` and `kwargs` are those of the handler, without its context."""

    __slots__ = (
        "_gives_up",
        "_resources",
        "args",
        "attempt",
        "headers",
        "job_id",
        "kwargs",
        "queue",
        "tags",
        "task",
    )

    def __init__(  # noqa: PLR0913 - what the executor knows of a run
        self,
        *,
        job_id: JobId,
        task: str,
        queue: str,
        attempt: int,
        headers: Mapping[str, str],
        tags: tuple[str, ...],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        resources: Resources,
        gives_up: Callable[[BaseException], bool],
    ) -> None:
        """Made by the executor."""
        self.job_id = job_id
        self.task = task
        self.queue = queue
        self.attempt = attempt
        self.headers = headers
        self.tags = tags
        self.args = args
        self.kwargs = kwargs
        self._resources = resources
        self._gives_up = gives_up

    def resource(self, resource: Resource[T]) -> T:
        """Return what the resource yielded when this process opened it; DeclarationError when it is not of this app."""
        return self._resources[resource]

    def gives_up(self, error: BaseException) -> bool:
        """Tell whether the job fails for good if this exception ends the attempt, or is retried or handed back."""
        return self._gives_up(error)

    def __repr__(self) -> str:
        """Show which job, never its arguments."""
        return f"<JobCall of job {self.job_id}, task {self.task!r}, attempt {self.attempt}>"


class EnqueueCall:
    """A job that is about to be made. `headers` may be changed; `schedule` names the schedule that makes it, if any."""

    __slots__ = ("args", "headers", "kwargs", "queue", "schedule", "tags", "task")

    def __init__(
        self,
        *,
        task: str,
        queue: str,
        headers: dict[str, str],
        tags: tuple[str, ...],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        schedule: str | None,
    ) -> None:
        """Made by the task that is enqueued."""
        self.task = task
        self.queue = queue
        self.headers = headers
        self.tags = tags
        self.args = args
        self.kwargs = kwargs
        self.schedule = schedule

    def __repr__(self) -> str:
        """Show which task, never its arguments."""
        return f"<EnqueueCall of task {self.task!r} on queue {self.queue!r}>"


Middleware: TypeAlias = Callable[[JobCall, Proceed], Awaitable[Any]]
EnqueueHook: TypeAlias = Callable[[EnqueueCall], None]


def check_middleware(function: Any) -> None:  # noqa: ANN401 - whatever stands below @app.middleware
    """Check a declared middleware; DeclarationError says what to write instead."""
    if not (inspect.iscoroutinefunction(function) and _takes(function, 2)):
        msg = (
            f"@app.middleware goes on `async def name(call: JobCall, proceed: Proceed) -> Any`, "
            f"which returns `await proceed()`; not on {_shown(function)}"
        )
        raise DeclarationError(msg)


def check_enqueue_hook(function: Any) -> None:  # noqa: ANN401 - whatever stands below @app.on_enqueue
    """Check a declared enqueue hook; DeclarationError says what to write instead."""
    if inspect.iscoroutinefunction(function):
        msg = (
            f"@app.on_enqueue goes on a def, and {_shown(function)} is an async def: it is also called where jobs are "
            "made without an event loop, by blocking code and by task.job(...)"
        )
        raise DeclarationError(msg)
    if not (callable(function) and _takes(function, 1)):
        msg = f"@app.on_enqueue goes on `def name(call: EnqueueCall) -> None`, not on {_shown(function)}"
        raise DeclarationError(msg)


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True


def _shown(function: object) -> str:
    return getattr(function, "__qualname__", repr(function))
