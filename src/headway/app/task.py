"""A declared task, typed by its function: what applications enqueue."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from msgspec import UNSET, UnsetType

from headway.app.handle import JobHandle, SyncJobHandle
from headway.app.options import NO_OPTIONS, JobOptions, TaskOptions, checked_headers, job_options
from headway.app.prepared import GivenCall, PreparedJob
from headway.app.signature import Signature
from headway.job import Fire, JobId, NewJob, new_job_id

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from datetime import datetime

    from headway.app.context import Context
    from headway.app.interface import App
    from headway.app.unique import Unique
    from headway.clock import Duration

P = ParamSpec("P")
R = TypeVar("R")


class Task(Generic[P, R]):
    """A task of an app. `fn` is the function as written."""

    def __init__(self, app: App, name: str, function: Callable[..., Any], options: TaskOptions) -> None:
        """Made by `@app.task`."""
        self.app = app
        self.name = name
        self.fn = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.options_declared = options
        self.hooks = app.enqueue_hooks
        self.codec = app.codec
        self.signature = Signature(name, function, app.codec.format)
        self.inspected = _without_context(function, takes_context=self.signature.takes_context)
        """Its parameters and result as Python sees them, without the Context."""
        if options.unique is not None:
            options.unique.check(name, self.inspected)
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", name)
        self.__wrapped__ = function
        self.new_id = new_job_id
        """Makes the ids of its jobs. Where all of them go to one of several carriers, they end in its mark from the
        first, so that none is made anew."""
        self.shadow: Task[Any, Any] | None = None
        """What runs in its place for copies of its jobs; None: they are discarded."""
        self._call = TaskCall(self, NO_OPTIONS)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Accept a job with these arguments durably, and return its handle.

        Raises EnqueueError when the job is refused, BrokerError when the carrier fails.
        """
        return await self._call.enqueue(*args, **kwargs)

    @property
    def tags(self) -> tuple[str, ...]:
        """Words by which its jobs are found; a job has those that its task declares in the process that looks."""
        return self.options_declared.tags

    def job(self, *args: P.args, **kwargs: P.kwargs) -> PreparedJob[R]:
        """Make a job for `app.enqueue_many`, without enqueueing it."""
        return self._call.job(*args, **kwargs)

    def options(  # noqa: PLR0913 - each is an option of its own
        self,
        *,
        delay: Duration | None = None,
        at: datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
        expires: Duration | None = None,
        unique: Unique | UnsetType | None = UNSET,
    ) -> TaskCall[P, R]:
        """Return the task with options of single jobs.

        `delay` or `at` (aware datetime): not before. `priority` 0 to 9, 9 first. `key`: idempotency key, a second
        enqueue returns the first job. `headers`: texts for the handler. `timeout` of one attempt. `expires`: not to be
        started later than so long after its due time. Durations are timedeltas, seconds or texts such as `5m`.
        ArgumentsError names what is wrong.
        """
        chosen = job_options(
            delay=delay,
            at=at,
            priority=priority,
            queue=queue,
            key=key,
            headers=headers,
            timeout=timeout,
            expires=expires,
            unique=unique,
        )
        return TaskCall(self, chosen)

    @property
    def sync(self) -> SyncTaskCall[P, R]:
        """The blocking twin."""
        return SyncTaskCall(self._call)

    def new_job(
        self, options: JobOptions, args: tuple[Any, ...], kwargs: dict[str, Any], fire: Fire | None = None
    ) -> NewJob:
        """Check and encode a call; raises as `enqueue` does."""
        headers = self._hooked(options, args, kwargs, fire) if self.hooks else options.headers
        return self._made(options, args, kwargs, fire, headers)

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise as `enqueue` would, without asking what is called before an enqueue."""
        self._made(NO_OPTIONS, args, kwargs, None, None)

    def _hooked(
        self, options: JobOptions, args: tuple[Any, ...], kwargs: dict[str, Any], fire: Fire | None
    ) -> dict[str, str] | None:
        """Call the application's hooks (`@app.on_enqueue`); return the headers that the job is to have."""
        from headway.app.middleware import EnqueueCall  # noqa: PLC0415 - few applications ask to be called

        declared = self.options_declared
        call = EnqueueCall(
            task=self.name,
            queue=options.queue or declared.queue,
            headers=dict(options.headers or {}),
            tags=declared.tags,
            args=args,
            kwargs=kwargs,
            schedule=None if fire is None else fire.schedule,
        )
        for hook in self.hooks:
            hook(call)
        return checked_headers(call.headers) or None

    def _made(
        self,
        options: JobOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        fire: Fire | None,
        headers: dict[str, str] | None,
    ) -> NewJob:
        declared = self.options_declared
        payload = self.signature.encode(self.codec, args, kwargs, headers, options.timeout_ms)
        due_ms = options.at_ms
        expires_in = declared.expires_ms if options.expires_ms is None else options.expires_ms
        expires_ms = None
        if options.delay_ms or expires_in is not None:
            now = self.app.clock.now_ms()
            if options.delay_ms:
                due_ms = now + options.delay_ms
            if expires_in is not None:
                expires_ms = (due_ms or now) + expires_in
        unique = declared.unique if options.unique is UNSET else options.unique
        return NewJob(
            self.new_id(),
            self.name,
            options.queue or declared.queue,
            payload,
            declared.priority if options.priority is None else options.priority,
            due_ms,
            expires_ms,
            options.key,
            unique.lock(self.name, self.inspected, args, kwargs) if unique else None,
            fire,
            options.headers,
        )

    def __repr__(self) -> str:
        """Show name and queue."""
        return f"<Task {self.name!r} on queue {self.options_declared.queue!r}>"

    def _refuse_context(self) -> None:
        if self.signature.takes_context:
            msg = f"task {self.name!r} takes a Context, which only a worker makes; call .fn(ctx, ...) instead"
            raise TypeError(msg)


class AsyncTask(Task[P, R]):
    """A task written as `async def`; awaiting a call runs the function here and now, as if it were no task."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Run the function itself."""
        self._refuse_context()
        coroutine: Coroutine[Any, Any, R] = self.fn(*args, **kwargs)
        return coroutine


class PlainTask(Task[P, R]):
    """A task written as `def`; a call runs the function here and now, as if it were no task."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function itself."""
        self._refuse_context()
        value: R = self.fn(*args, **kwargs)
        return value


class TaskCall(Generic[P, R]):
    """A task with options of single jobs."""

    __slots__ = ("_is_bare", "_options", "_priority", "_queue", "task")

    def __init__(self, task: Task[P, R], options: JobOptions) -> None:
        """Made by `task.options`."""
        self.task = task
        self._options = options
        declared = task.options_declared
        self._queue = options.queue or declared.queue
        self._priority = declared.priority if options.priority is None else options.priority
        times = (options.delay_ms or None, options.at_ms, options.expires_ms, declared.expires_ms)
        unique = declared.unique if options.unique is UNSET else options.unique
        named = options.key is not None or unique is not None
        self._is_bare = times == (None,) * len(times) and not named and options.headers is None

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> JobHandle[R]:
        """Accept a job with these arguments durably, and return its handle; raises as `Task.enqueue` does."""
        accepted = await self.task.app.accept(self._new(args, kwargs))
        return self._handle(accepted.id, accepted.duplicate_of)

    def enqueue_blocking(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobHandle[R]:
        """Accept a job from blocking code; raises as `Task.enqueue` does."""
        accepted = self.task.app.accept_blocking(self._new(args, kwargs))
        return self._handle(accepted.id, accepted.duplicate_of)

    def _new(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NewJob:
        """Make the job; one with no more than arguments, priority and queue takes the short way."""
        task, options = self.task, self._options
        if not self._is_bare or task.hooks:
            return task.new_job(options, args, kwargs)
        payload = task.signature.encode(task.codec, args, kwargs, options.headers, options.timeout_ms)
        return NewJob(task.new_id(), task.name, self._queue, payload, self._priority)

    def _handle(self, job_id: JobId, duplicate_of: JobId | None) -> JobHandle[R]:
        task = self.task
        if duplicate_of is not None:
            return JobHandle(task.app, duplicate_of, result_type=task.signature.result_type, duplicate=True)
        return JobHandle(task.app, job_id, result_type=task.signature.result_type)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> PreparedJob[R]:
        """Make a job for `app.enqueue_many`, without enqueueing it."""
        call = GivenCall(self._options, args, kwargs)
        return PreparedJob(self._new(args, kwargs), self.task.signature.result_type, call)

    @property
    def sync(self) -> SyncTaskCall[P, R]:
        """The blocking twin."""
        return SyncTaskCall(self)


class SyncTaskCall(Generic[P, R]):
    """The blocking twin of a task with its options."""

    __slots__ = ("_call",)

    def __init__(self, call: TaskCall[P, R]) -> None:
        """Made by `.sync`."""
        self._call = call

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> SyncJobHandle[R]:
        """Accept a job with these arguments durably, and return its blocking handle; raises as `Task.enqueue` does."""
        return SyncJobHandle(self._call.enqueue_blocking(args, kwargs))


class TaskDecorator(Protocol):
    """What `app.task(...)` with options returns."""

    # An async def is also a function that returns something: the overloads overlap, and the first that fits is meant.
    @overload
    def __call__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Context, P], R], /) -> PlainTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> PlainTask[P, R]: ...


def _without_context(function: Callable[..., Any], *, takes_context: bool) -> inspect.Signature:
    signature = inspect.signature(function)
    if not takes_context:
        return signature
    return signature.replace(parameters=list(signature.parameters.values())[1:])
