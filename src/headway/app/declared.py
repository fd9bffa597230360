"""What is declared in an app, each under a name of its own: tasks made of functions, schedules, resources."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from msgspec import structs

from headway.app.task import AsyncTask, PlainTask
from headway.errors import DeclarationError
from headway.job import SHADOW_TASK
from headway.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headway.app.interface import App
    from headway.app.lifespan import Resource
    from headway.app.middleware import EnqueueHook, Middleware
    from headway.app.options import TaskOptions
    from headway.app.scheduled import ScheduledTask
    from headway.app.task import Task


class Declared:
    """By name, in the order of declaration. `known` has the tasks under their aliases as well."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.tasks: dict[str, Task[Any, Any]] = {}
        self.known: dict[str, Task[Any, Any]] = {}
        self.schedules: dict[str, ScheduledTask] = {}
        self.resources: dict[str, Resource[Any]] = {}
        self.middleware: list[Middleware] = []
        self.enqueue_hooks: list[EnqueueHook] = []

    def check_new(self, names: Sequence[str]) -> None:
        """DeclarationError when a task cannot have one of these names and aliases."""
        for one in names:
            if one.startswith(SHADOW_TASK):
                msg = f"task {one!r}: a name cannot begin with {SHADOW_TASK!r}: those are copies of jobs"
                raise DeclarationError(msg)
            if one in self.known or names.count(one) > 1:
                msg = f"task {one!r} is declared twice, as a name or an alias; give one of them another name"
                raise DeclarationError(msg)

    def add_task(self, task: Task[Any, Any], names: Sequence[str]) -> None:
        """Keep a task under its name and aliases, which were checked."""
        self.tasks[task.name] = task
        self.known |= dict.fromkeys(names, task)

    def add_schedule(self, scheduled: ScheduledTask) -> None:
        """Keep a schedule; DeclarationError when there is one of its name, or its task does not take its arguments."""
        name = scheduled.name
        if name in self.schedules:
            msg = f"schedule {name!r} is declared twice; give one of them another name="
            raise DeclarationError(msg)
        try:
            scheduled.check()
        except Exception as error:
            msg = f"schedule {name!r}: its task cannot be called with these args and kwargs: {error}"
            raise DeclarationError(msg) from error
        self.schedules[name] = scheduled

    def add_resource(self, resource: Resource[Any]) -> Resource[Any]:
        """Keep a resource and return it; DeclarationError when there is one of its name."""
        if resource.name in self.resources:
            msg = f"resource {resource.name!r} is declared twice; give one of the functions another name"
            raise DeclarationError(msg)
        self.resources[resource.name] = resource
        return resource


def make_task(app: App, name: str, function: Callable[..., Any], options: TaskOptions) -> Task[Any, Any]:
    """Make the task that fits the function; DeclarationError when it cannot run as asked."""
    is_async = inspect.iscoroutinefunction(function)
    if options.run_in == "async" and not is_async:
        msg = f"task {name!r}: run_in='async' needs an async def; a def runs in a thread or a process"
        raise DeclarationError(msg)
    if options.run_in == "thread" and is_async:
        msg = (
            f"task {name!r}: run_in='thread' is for def; an async def runs on the event loop or in a process"
        )
        raise DeclarationError(msg)
    return (AsyncTask if is_async else PlainTask)(app, name, function, options)


def shadow_of(task: Task[Any, Any], function: Callable[..., Any]) -> Task[Any, Any]:
    """Return the task of a function that runs in the place of another task's, for copies of its jobs.

    DeclarationError when it does not take the same arguments.
    """
    if not inspect.isfunction(function):
        msg = f"task {task.name!r}: shadow must be a function, got {function!r}"
        raise DeclarationError(msg)
    options = structs.replace(
        task.options_declared,
        run_in="async" if inspect.iscoroutinefunction(function) else "thread",
        retry=Retry.never(),
        unique=None,
    )
    made = make_task(task.app, f"{SHADOW_TASK}{task.name}", function, options)
    names = [list(one.inspected.parameters) for one in (task, made)]
    if names[0] != names[1]:
        msg = f"task {task.name!r}: shadow must take the same arguments, {names[0]}, not {names[1]}"
        raise DeclarationError(msg)
    return made
