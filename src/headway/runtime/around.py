"""A handler with the application's middleware around it; an app that declares none never comes here."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from headway.app.middleware import JobCall
from headway.job import Failed
from headway.runtime.forks import end_fork
from headway.runtime.outcomes import Outcomes
from headway.runtime.threads import Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.app.lifespan import Resources
    from headway.app.middleware import Middleware, Proceed
    from headway.app.task import Task
    from headway.runtime.invocation import Invocation
    from headway.runtime.run import JobRun
    from headway.runtime.threads import Threads


class Around:
    """Runs handlers within the middleware of an app: the one declared first is the outermost."""

    def __init__(
        self,
        middleware: Sequence[Middleware],
        *,
        threads: Threads,
        outcomes: Outcomes,
        resources: Resources,
        born: int,
    ) -> None:
        """`born` is the generation of this process: a copy that a handler forked ends behind the handler."""
        self._middleware = tuple(middleware)
        self._threads = threads
        self._outcomes = outcomes
        self._resources = resources
        self._born = born

    async def run(
        self, run: JobRun, task: Task[Any, Any], invocation: Invocation, args: Sequence[Any]
    ) -> Ended:
        """Run the handler with `args`, which begin with its context if it takes one."""
        in_thread: BaseException | None = None

        async def handler() -> Any:  # noqa: ANN401 - what the handler returns
            nonlocal in_thread
            try:
                if task.is_async:
                    return await task.fn(*args, **invocation.kwargs)
                value, in_thread = await self._threads.run(
                    run, functools.partial(task.fn, *args, **invocation.kwargs)
                )
            finally:
                end_fork(self._born)
            _ = run.cancellable()  # this coroutine again, not the thread
            if in_thread is not None:
                raise in_thread
            return value

        try:
            return Ended(await _through(self._middleware, self._call(run, task, invocation), handler))
        except RuntimeError as error:
            # No coroutine can raise StopIteration: what a thread raised is the job's error all the same.
            if in_thread is not None and error.__cause__ is in_thread:
                return Ended(error=in_thread)
            raise

    def _call(self, run: JobRun, task: Task[Any, Any], invocation: Invocation) -> JobCall:
        delivery = run.delivery

        def gives_up(error: BaseException) -> bool:
            # Past what tests put in the place of the judge: nothing is settled by this.
            return isinstance(Outcomes.of_error(self._outcomes, run, error), Failed)

        return JobCall(
            job_id=delivery.lease.job_id,
            task=delivery.task,
            queue=delivery.queue,
            attempt=delivery.attempt,
            headers=invocation.headers,
            tags=task.options_declared.tags,
            args=invocation.args,
            kwargs=invocation.kwargs,
            resources=self._resources,
            gives_up=gives_up,
        )


async def _through(middleware: tuple[Middleware, ...], call: JobCall, handler: Proceed) -> Any:  # noqa: ANN401
    if not middleware:
        return await handler()
    outermost = middleware[0]
    called = False

    async def proceed() -> Any:  # noqa: ANN401 - what the handler returns
        nonlocal called
        if called:
            msg = f"middleware {_name(outermost)} called proceed() twice: a run has one outcome; raise for a retry"
            raise RuntimeError(msg)
        called = True
        return await _through(middleware[1:], call, handler)

    return await outermost(call, proceed)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function))
