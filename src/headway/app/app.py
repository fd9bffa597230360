"""An app: its tasks, its schedules, its settings, and the carrier that it is open on.

It is longer than other files because all that users declare and call stands here, with its overloads and what they read
of it; what it does stands in the modules beside it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar, overload

from headway.app.declared import Declared, make_task, shadow_of
from headway.app.functions import alias_hint, check_function, qualified_name
from headway.app.handle import JobHandle
from headway.app.including import import_each
from headway.app.lifespan import make_resource
from headway.app.middleware import check_enqueue_hook, check_middleware
from headway.app.opening import OpenApps, partly_accepted
from headway.app.options import (
    checked_interval,
    checked_names,
    schedule_options,
    task_options,
)
from headway.app.portal import Portal
from headway.app.scheduled import ScheduledTask
from headway.app.sync import SyncApp
from headway.app.task import AsyncTask, PlainTask, Task, TaskDecorator
from headway.clock import SystemClock
from headway.codec import Codec
from headway.config import MAIN, load_settings
from headway.errors import DeclarationError, UnknownTaskError
from headway.job import PRIORITY_DEFAULT, JobId, NewJob, is_job_id
from headway.names import checked_name
from headway.schedules.schedule import CatchUp, Cron, Every, Schedule

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Coroutine,
        Iterable,
        Iterator,
        Sequence,
    )
    from datetime import timedelta
    from types import TracebackType
    from typing import Unpack

    from headway.app.context import Context
    from headway.app.lifespan import Resource, Resources
    from headway.app.managing import Jobs, Queues
    from headway.app.middleware import EnqueueHook, Middleware
    from headway.app.options import RunIn
    from headway.app.prepared import PreparedJob
    from headway.app.schedules import Schedules
    from headway.app.unique import Unique
    from headway.brokers.base import Carrier, Enqueued, PushCarrier, Store
    from headway.cache.base import Cache, Limiter
    from headway.clock import Clock, Duration
    from headway.config import GivenSettings, Settings
    from headway.offload.payloads import Offload
    from headway.retry import Retry
    from headway.routing.failover.failover import Failover

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
AnyTask = TypeVar("AnyTask", bound=Task[Any, Any])
AnyMiddleware = TypeVar("AnyMiddleware", bound="Middleware")
AnyHook = TypeVar("AnyHook", bound="EnqueueHook")

DEFAULT_QUEUE: Final = "default"


class Headway:
    """An app. Apps of different names share a carrier without seeing each other.

    Settings come from the arguments, `HEADWAY_*` variables and `headway.toml`, in this order; ConfigError names a
    wrong one. `carrier` replaces the one that the URL names, or several by name, for tests.
    """

    def __init__(
        self,
        name: str,
        *,
        carrier: Store | Mapping[str, Store] | None = None,
        clock: Clock | None = None,
        **settings: Unpack[GivenSettings],
    ) -> None:
        """Read the settings; nothing is opened yet."""
        self.name = checked_name("app", name)
        self.settings: Settings = load_settings(settings)
        self.clock: Clock = clock or SystemClock()
        self.codec = Codec(
            format=self.settings.format,
            compress=self.settings.compression == "zstd",
            compress_over=self.settings.compress_over,
            limit=self.settings.offload_limit if self.settings.offload else self.settings.payload_limit,
            limit_name="offload_limit" if self.settings.offload else "payload_limit",
        )
        self.offload = self._offload()
        self.portal = Portal(self.open, self.close)
        self.sync = SyncApp(self)
        self._declared = Declared()
        self.enqueue_hooks = self._declared.enqueue_hooks  # the tasks look into this very list
        self._opened = OpenApps(
            self.name,
            self.settings,
            _named(carrier),
            clock,
            offload=self.offload,
            tasks=self._declared.tasks,
            elsewhere=self.portal.loop_for_others,
        )

    # --- declarations -------------------------------------------------------------------------------------------

    # An async def is also a function that returns something: the overloads overlap, and the first that fits is meant.
    @overload
    def task(  # type: ignore[overload-overlap]
        self, function: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def task(self, function: Callable[Concatenate[Context, P], R], /) -> PlainTask[P, R]: ...
    @overload
    def task(self, function: Callable[P, R], /) -> PlainTask[P, R]: ...
    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        name: str | None = None,
        queue: str = DEFAULT_QUEUE,
        timeout: Duration | None = None,
        retry: Retry | None = None,
        priority: int = PRIORITY_DEFAULT,
        expires: Duration | None = None,
        unique: Unique | None = None,
        run_in: RunIn | None = None,
        aliases: Sequence[str] = (),
        tags: Sequence[str] = (),
        search: Sequence[str] = (),
        hide: bool | Sequence[str] = False,
        shadow: Callable[..., Any] | None = None,
    ) -> TaskDecorator: ...
    def task(  # noqa: PLR0913 - each is an option of its own
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        queue: str = DEFAULT_QUEUE,
        timeout: Duration | None = None,
        retry: Retry | None = None,
        priority: int = PRIORITY_DEFAULT,
        expires: Duration | None = None,
        unique: Unique | None = None,
        run_in: RunIn | None = None,
        aliases: Sequence[str] = (),
        tags: Sequence[str] = (),
        search: Sequence[str] = (),
        hide: bool | Sequence[str] = False,
        shadow: Callable[..., Any] | None = None,
    ) -> Any:
        """Declare a task.

        `name` defaults to the function's qualified name. `aliases` are names that it had before: jobs that wait under
        them run here. `timeout` bounds one attempt. `expires`: jobs are not started later than so long after their due
        time. `run_in`: `async` on the event loop (for `async def`), `thread` (for `def`), or `process`, which can be
        ended hard. `tags` are words by which its jobs are found, `search` are arguments by which records find them,
        such as `user` or `order.id`. `hide`: arguments that records, API and dashboard never show; True hides all.
        `shadow` is called, with the same arguments, for copies of its jobs that a route sends to a carrier to try it
        out; without it they are discarded. DeclarationError names what is wrong.
        """

        def declare(written: Callable[..., Any]) -> Task[Any, Any]:
            check_function(written, name)
            chosen = checked_name("task", qualified_name(written) if name is None else name)
            names = (chosen, *checked_names(f"task {chosen!r}: aliases", aliases))
            self._declared.check_new(names)
            options = task_options(
                chosen,
                is_async=inspect.iscoroutinefunction(written),
                queue=queue,
                timeout=self.settings.timeout if timeout is None else timeout,
                retry=retry,
                priority=priority,
                expires=expires,
                unique=unique,
                run_in=run_in,
                tags=tags,
                search=search,
                hide=hide,
            )
            task = make_task(self, chosen, written, options)
            task.shadow = None if shadow is None else shadow_of(task, shadow)
            self._declared.add_task(task, names)
            return task

        return declare if function is None else declare(function)

    def cron(
        self,
        expression: str,
        *,
        timezone: str = "UTC",
        catch_up: CatchUp | str = CatchUp.LAST,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Callable[[AnyTask], AnyTask]:
        """Run a task at the times of a cron expression (5 fields, or 6 with seconds first) in a time zone.

        A fire time that does not exist in the zone (the clock jumps ahead) runs once at the next valid instant; one
        that occurs twice runs once. `catch_up`: what becomes of fire times missed while no worker ran. `name` defaults
        to the task's name. Put it above `@app.task`. ScheduleError or DeclarationError names what is wrong.
        """
        return self._scheduler(Cron(expression, timezone), catch_up, name, args, kwargs)

    def every(
        self,
        interval: timedelta | str,
        *,
        catch_up: CatchUp | str = CatchUp.LAST,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Callable[[AnyTask], AnyTask]:
        """Run a task at every whole interval since 1970 UTC, a timedelta or a text such as `5m`.

        The other arguments are those of `cron`.
        """
        return self._scheduler(Every(checked_interval(interval)), catch_up, name, args, kwargs)

    def _scheduler(
        self,
        schedule: Schedule,
        catch_up: CatchUp | str,
        name: str | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None,
    ) -> Callable[[AnyTask], AnyTask]:
        policy, args, kwargs = schedule_options(catch_up, args, kwargs)

        def declare(task: AnyTask) -> AnyTask:
            _refuse_function(task)
            chosen = checked_name("schedule", task.name if name is None else name)
            self._declared.add_schedule(ScheduledTask(chosen, schedule, task, policy, args, dict(kwargs)))
            return task

        return declare

    @overload
    def resource(self, function: Callable[[], AsyncIterator[T]], /) -> Resource[T]: ...
    @overload
    def resource(self, function: Callable[[Resources], AsyncIterator[T]], /) -> Resource[T]: ...
    @overload
    def resource(self, function: Callable[[], Iterator[T]], /) -> Resource[T]: ...
    @overload
    def resource(self, function: Callable[[Resources], Iterator[T]], /) -> Resource[T]: ...
    def resource(self, function: Callable[..., Any], /) -> Resource[Any]:
        """Declare what each process that runs jobs opens once: a generator function that yields it and then closes it.

        `ctx.resource(...)` of what this returns is what was yielded. Resources are opened before the first job, in the
        order of declaration, and closed behind the last one; one whose function has a parameter gets the `Resources`
        that are open. While one cannot be opened the process runs no job and tries again. DeclarationError names what
        is wrong.
        """
        return self._declared.add_resource(make_resource(function))

    @property
    def resources(self) -> Mapping[str, Resource[Any]]:
        """The declared resources by name, in the order in which they are opened."""
        return MappingProxyType(self._declared.resources)

    def middleware(self, function: AnyMiddleware, /) -> AnyMiddleware:
        """Put a function around each run of a job: `async def name(call: JobCall, proceed: Proceed) -> Any`.

        It returns `await proceed()`, or another result. What it raises ends the attempt by the task's retry policy, as
        if the handler had raised it. Of several the one declared first is the outermost. It runs on the event loop, for
        a task with `run_in="process"` in that process. DeclarationError says what is wrong.
        """
        check_middleware(function)
        self._declared.middleware.append(function)
        return function

    @property
    def middlewares(self) -> Sequence[Middleware]:
        """What is around each run, the outermost first."""
        return tuple(self._declared.middleware)

    def on_enqueue(self, function: AnyHook, /) -> AnyHook:
        """Call a function for each job that is about to be made: `def name(call: EnqueueCall) -> None`.

        It may change the headers, or refuse the job: what it raises reaches the enqueuer. It is called for single
        jobs and many, from coroutines, blocking code and schedules. DeclarationError says what is wrong.
        """
        check_enqueue_hook(function)
        self.enqueue_hooks.append(function)
        return function

    @property
    def tasks(self) -> Mapping[str, Task[Any, Any]]:
        """The declared tasks by name."""
        return MappingProxyType(self._declared.tasks)

    @property
    def known_tasks(self) -> Mapping[str, Task[Any, Any]]:
        """The tasks by all names under which a job of theirs may wait: their own and their aliases."""
        return MappingProxyType(self._declared.known)

    @property
    def schedules(self) -> Schedules:
        """The declared schedules by name; its methods make, change and list those made at run time as well."""
        from headway.app.schedules import Schedules  # noqa: PLC0415 - `import headway` need not pay for it

        return Schedules(self, self._declared.schedules)

    @property
    def queues(self) -> Queues:
        """The names of the queues of the declared tasks, sorted; it has `counts`, `pause`, `resume` and `drain`."""
        from headway.app.managing import Queues  # noqa: PLC0415 - `import headway` need not pay for it

        return Queues(self, sorted({task.options_declared.queue for task in self._declared.tasks.values()}))

    @property
    def jobs(self) -> Jobs:
        """The jobs, whatever became of them: listed, looked up, cancelled, retried, promoted, removed."""
        from headway.app.managing import Jobs  # noqa: PLC0415 - as above

        return Jobs(self)

    def import_included(self) -> Self:
        """Import the modules of the setting `include`, each once, so that their tasks are declared; return the app.

        Workers, receivers, the command line and `headway.testing.inline` do it. Not done when the app is made: those
        modules import the one that makes it. ConfigError names a module that is not there; what a module itself raises
        passes through, with a note that names it.
        """
        import_each(self.settings.include)
        return self

    def find_task(self, name: str) -> Task[Any, Any]:
        """Return the task of that name or alias; UnknownTaskError names the ones there are."""
        task = self._declared.known.get(name)
        if task is None:
            tasks = self._declared.tasks
            known = ", ".join(sorted(tasks)) or "none"
            msg = f"app {self.name!r} has no task {name!r}; declared: {known}{alias_hint(name, tasks)}"
            raise UnknownTaskError(msg)
        return task

    # --- jobs ---------------------------------------------------------------------------------------------------

    async def enqueue_many(self, jobs: Iterable[PreparedJob[R]]) -> list[JobHandle[R]]:
        """Accept jobs made with `task.job(...)`, a thousand at a time; return their handles in order.

        Each thousand is accepted whole or not at all. PartlyAcceptedError has the ids that were accepted, when the
        carrier fails behind the first thousand, or an iterator raises there. Those of a list are all checked before.
        """
        handles: list[JobHandle[R]] = []
        try:
            async for batch, answers in self._opened.here().enqueue_many(jobs):
                handles += [
                    JobHandle(
                        self,
                        answer.duplicate_of or answer.id,
                        result_type=job.result_type,
                        duplicate=answer.duplicate_of is not None,
                    )
                    for job, answer in zip(batch, answers, strict=True)
                ]
        except Exception as error:
            if not handles:
                raise
            raise partly_accepted([handle.id for handle in handles], error) from error
        return handles

    def check(self, job: NewJob) -> None:
        """Raise UnsupportedError when the carrier of a job cannot do what it asks; nothing is written."""
        self._opened.here().acceptor.check(job)

    def accept(self, job: NewJob) -> Awaitable[Enqueued]:
        """Accept one job, together with the others of this loop turn."""
        return self._opened.here().acceptor.accept(job)

    def accept_blocking(self, job: NewJob) -> Enqueued:
        """Accept one job from blocking code."""
        from headway.brokers.base import Enqueued  # noqa: PLC0415 - loaded with the carrier, not with the package

        loop = self.portal.loop_elsewhere()
        opened = None if loop is None else self._opened.on(loop)
        if opened is not None and (accepted := opened.acceptor.accept_blocking(job)) is not None:
            return Enqueued(accepted)
        return self.portal.call(self._accept, job)

    async def _accept(self, job: NewJob) -> Enqueued:
        return await self._opened.here().acceptor.accept(job)

    def job(self, job_id: str) -> JobHandle[Any]:
        """Return the handle of a job by its id; ValueError when it has not the form of one."""
        if not is_job_id(job_id):
            msg = f"{job_id!r} is not a job id"
            raise ValueError(msg)
        return JobHandle(self, JobId(job_id))

    def _offload(self) -> Offload | None:
        if not self.settings.offload:
            return None
        from headway.offload.payloads import Offload  # noqa: PLC0415 - loads asyncio, which `import headway` need not pay

        return Offload(self.settings, self.name, self.clock)

    # --- beside the jobs ----------------------------------------------------------------------------------------

    @property
    def cache(self) -> Cache:
        """Values shared by all processes, in the Redis of the setting `cache`; the app must be open on this loop."""
        return self._opened.cache().cache

    @property
    def limiter(self) -> Limiter:
        """Rates shared by all processes, kept beside the cache; the app must be open on this loop."""
        return self._opened.cache().limiter

    # --- opening ------------------------------------------------------------------------------------------------

    @property
    def carrier(self) -> Store:
        """The carrier that is open on the running event loop; HeadwayError when the app is not open there."""
        return self._opened.here().carrier

    @property
    def carriers(self) -> Mapping[str, Store]:
        """The carriers that are open on the running event loop, by their names; the first takes what has no route."""
        return MappingProxyType(self._opened.here().carriers)

    @property
    def failover(self) -> Failover | None:
        """The breakers and the spool as they are open on the running event loop; None: the setting `spool` is empty."""
        return self._opened.here().failover

    @property
    def pulls(self) -> Mapping[str, bool]:
        """By the names of all carriers: whether workers claim the jobs; false: they are pushed. It need not be open."""
        return self._opened.pulls

    @property
    def pull_carrier(self) -> Carrier:
        """As `carrier`, one with workers; ConfigError when it pushes its jobs to a receiver."""
        return self._opened.here().pull_carrier

    @property
    def push_carrier(self) -> PushCarrier:
        """As `carrier`, one that pushes; ConfigError when its jobs are claimed by workers."""
        return self._opened.here().push_carrier

    async def open(self) -> Self:
        """Open the carrier on the running event loop; each call needs its `close`."""
        opened = await self._opened.open()
        self.portal.attach(opened.loop)
        return self

    async def close(self) -> None:
        """Close what `open` opened, after the enqueues under way."""
        if await self._opened.close():
            self.portal.detach()

    async def __aenter__(self) -> Self:
        """Open."""
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Headway {self.name!r}, {len(self._declared.tasks)} tasks>"


def _named(carrier: Store | Mapping[str, Store] | None) -> Mapping[str, Store] | None:
    return carrier if carrier is None or isinstance(carrier, Mapping) else {MAIN: carrier}


def _refuse_function(task: object) -> None:
    """Refuse the usual mistake: the decorators in the wrong order."""
    if not isinstance(task, Task):
        msg = f"a schedule goes above @app.task, not on {task!r}"
        raise DeclarationError(msg)
