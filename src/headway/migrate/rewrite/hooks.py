"""What becomes of the functions that arq calls when a worker starts and ends, and around each job."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.migrate.rewrite.contexts import From, KeySource, passed_on
from headway.migrate.rewrite.findings import Finding, Kind
from headway.migrate.rewrite.lifespans import Part, keys_written, parameter, parts_of, uses_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.modules import Function, Module
    from headway.migrate.rewrite.project import Project
    from headway.migrate.rewrite.workers import TaskKey, Worker

HOOKS: Final = ("on_startup", "on_shutdown", "on_job_start", "on_job_end")
_WHOLE: Final = "worker_context"


class Hook(NamedTuple):
    """A function that arq calls. `name` is how it is called where `seen_in` is; `in_class`: the settings define it."""

    name: str
    module: Module
    function: Function | None
    in_class: bool = False


@dataclass(slots=True)
class Lifespan:
    """A start-up with its shutdown. `parts`: one resource a key, named in `names`; None: one for the whole dict."""

    worker: Worker
    startup: Hook | None
    shutdown: Hook | None
    parts: list[Part] | None
    names: dict[str, str] = field(default_factory=dict)
    whole: str = _WHOLE
    needs_pool: bool = False


@dataclass(slots=True)
class Hooks:
    """All of them. `of_jobs` are the keys that `on_job_start` writes; `around` its worker, start and end."""

    lifespans: list[Lifespan] = field(default_factory=list)
    around: tuple[Worker, Hook | None, Hook | None] | None = None
    of_jobs: list[str] = field(default_factory=list)
    kept: dict[str, set[str]] = field(default_factory=dict)
    """By module: names under which it imports functions that are still called there."""
    keys: dict[str, list[KeySource]] = field(default_factory=dict)

    def keep(self, worker: Worker, *settings: str) -> None:
        """Have the functions that these settings name stay in use."""
        names = {worker.settings[one].text.partition(".")[0] for one in settings if one in worker.settings}
        self.kept.setdefault(worker.module.name, set()).update(names)


def plan_hooks(
    project: Project, workers: Sequence[Worker], contexts: Mapping[TaskKey, str], report: Report
) -> Hooks:
    """Decide what becomes of them."""
    hooks = Hooks()
    seen: set[tuple[str, str]] = set()
    taken: set[str] = set()
    users = {key.module for key in contexts}
    for worker in workers:
        found = {name: _hook(project, worker, name, report) for name in HOOKS}
        startup, shutdown = found["on_startup"], found["on_shutdown"]
        mark = tuple("" if one is None else f"{one.module.name}.{one.name}" for one in (startup, shutdown))
        if any(mark) and (mark[0], mark[1]) not in seen:
            seen.add((mark[0], mark[1]))
            lifespan = _lifespan(worker, startup, shutdown)
            _name(lifespan, project, users, taken)
            hooks.lifespans.append(lifespan)
            if lifespan.parts is None:
                hooks.keep(worker, "on_startup", "on_shutdown")
            for key, source in _keys(project, lifespan).items():
                hooks.keys.setdefault(key, []).append(source)
        before, after = found["on_job_start"], found["on_job_end"]
        if (before or after) and hooks.around is None:
            hooks.around = (worker, before, after)
            hooks.keep(worker, "on_job_start", "on_job_end")
            hooks.of_jobs = keys_written(_reached(project, before))
        elif (before or after) and hooks.around is not None and hooks.around[1:] != (before, after):
            what = f"{worker.node.name} has other functions around jobs than {hooks.around[0].node.name}"
            todo = "write @app.middleware that looks at call.queue"
            report(Finding(worker.module.file, worker.node.lineno, Kind.HAND, what, todo))
    return hooks


def _hook(project: Project, worker: Worker, name: str, report: Report) -> Hook | None:
    if name in worker.hooks:
        return Hook(name, worker.module, worker.hooks[name], in_class=True)
    given = worker.settings.get(name)
    if given is None or given.text == "None":
        return None
    ref = (
        project.resolve(given.module, given.text)
        if isinstance(given.node, ast.Name | ast.Attribute)
        else None
    )
    if ref is None:
        what = f"{name} = {given.text} is no name of a function"
        report(
            Finding(
                given.module.file,
                given.node.lineno,
                Kind.HAND,
                what,
                "write @app.resource or @app.middleware",
            )
        )
        return None
    if ref.module is None:
        return Hook(given.text, given.module, None)
    return Hook(ref.name, ref.module, ref.module.function(ref.name))


def _lifespan(worker: Worker, startup: Hook | None, shutdown: Hook | None) -> Lifespan:
    lifespan = Lifespan(worker, startup, shutdown, None)
    functions = [one.function for one in (startup, shutdown) if one is not None and one.function is not None]
    lifespan.needs_pool = any(
        use.key == "redis" and not use.stored for one in functions for use in uses_of(one, parameter(one))
    )
    if startup is None or startup.function is None or (shutdown is not None and shutdown.function is None):
        return lifespan
    if shutdown is not None and (
        shutdown.module is not startup.module or shutdown.in_class != startup.in_class
    ):
        return lifespan
    if len({one.lineno for one in startup.function.body}) == len(startup.function.body):
        lifespan.parts = parts_of(startup.function, None if shutdown is None else shutdown.function)
    return lifespan


def _name(lifespan: Lifespan, project: Project, users: set[str], taken: set[str]) -> None:
    """Choose names that nothing else has, in the modules that will import them."""
    startup = lifespan.startup
    bound: set[str] = set(taken)
    for module in [*users, *([startup.module.name] if startup else [])]:
        bound |= project.modules[module].bound
    for part in lifespan.parts or ():
        name = (
            part.key
            if part.key.isidentifier() and part.key not in bound
            else f"{_identifier(part.key)}_resource"
        )
        while name in bound:
            name = f"{name}_"
        lifespan.names[part.key] = name
        bound.add(name)
        taken.add(name)
    while lifespan.whole in bound:
        lifespan.whole = f"{lifespan.whole}_"
    taken.add(lifespan.whole)


def _reached(project: Project, hook: Hook | None) -> list[tuple[Function, str]]:
    """Return a hook and the functions to which it passes the dict, each with the parameter that has it."""
    if hook is None or hook.function is None:
        return []
    found = [(hook.function, parameter(hook.function))]
    waiting = list(passed_on(project, hook.module, *found[0]))
    while waiting:
        key, name = waiting.pop()
        module = project.modules[key.module]
        function = module.function(key.function)
        if function is not None and (function, name) not in found:
            found.append((function, name))
            waiting += passed_on(project, module, function, name)
    return found


def _keys(project: Project, lifespan: Lifespan) -> dict[str, KeySource]:
    startup = lifespan.startup
    if startup is None or startup.function is None:
        return {}
    if lifespan.parts is not None:
        return {
            key: KeySource(From.RESOURCE, startup.module.name, name) for key, name in lifespan.names.items()
        }
    keys = keys_written(_reached(project, startup))
    return {key: KeySource(From.WHOLE, lifespan.worker.module.name, lifespan.whole) for key in keys}


def _identifier(text: str) -> str:
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in text)
    return name if name.isidentifier() else f"_{name}"
