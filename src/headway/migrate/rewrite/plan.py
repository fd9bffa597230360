"""What becomes of a project as a whole: decided before any of its modules is changed."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from headway.migrate.rewrite.contexts import JOB_CONTEXT, From, KeySource, context_functions
from headway.migrate.rewrite.findings import Finding, Kind
from headway.migrate.rewrite.graph import Imports
from headway.migrate.rewrite.home import Home, find_home
from headway.migrate.rewrite.hooks import Hooks, plan_hooks
from headway.migrate.rewrite.overlooked import tell_of_overlooked
from headway.migrate.rewrite.pool_names import pools_of
from headway.migrate.rewrite.tasks import TaskPlan, plan_tasks
from headway.migrate.rewrite.vocabulary import OPTIONS
from headway.migrate.rewrite.workers import TaskKey, find_workers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.modules import Function, Module
    from headway.migrate.rewrite.project import Project
    from headway.migrate.rewrite.workers import Worker

_USES: Final = re.compile(r"\b(enqueue_job|create_pool|arq)\b")


@dataclass(slots=True)
class Plan:
    """All decisions. Without a worker (`home` is None) tasks are unknown, so next to nothing can be changed."""

    project: Project
    workers: list[Worker]
    tasks: dict[TaskKey, TaskPlan]
    contexts: dict[TaskKey, str]
    keys: dict[str, list[KeySource]]
    hooks: Hooks
    home: Home | None
    imports: Imports
    passes_options: bool = False
    """Somewhere a function that is not `enqueue_job` is called with an option of it, such as `_defer_by`."""
    pools: dict[str, set[str]] = field(default_factory=dict)
    """By module: dotted names that stand for arq's pool; see `pool_names`."""
    job_functions: set[TaskKey] = field(default_factory=set)
    """Functions that answer a job."""
    decorators: set[TaskKey] = field(default_factory=set)
    """Functions that stand above tasks: what they make is called with a context."""
    removed: dict[str, set[str]] = field(default_factory=dict)
    """By module: names of its top level that go, because only arq's worker used them."""

    def named(self, name: str, module: str) -> TaskPlan | None:
        """Return the task that has this name in arq; of several the one in the same module."""
        found = [one for one in self.tasks.values() if name in {one.name, one.theirs}]
        return next((one for one in found if one.key.module == module), next(iter(found), None))

    def source_of(self, key: str, module: str) -> KeySource | None:
        """Return where a key of the dict comes from; of several places the one in the same module."""
        found = self.keys.get(key, [])
        return next((one for one in found if one.module == module), next(iter(found), None))


def make_plan(project: Project, root_name: str, report: Report) -> Plan:
    """Decide what becomes of the project."""
    workers = find_workers(project, report)
    tell_of_overlooked(project, workers, report)
    retries = any(_may_retry(module) for module in project.modules.values())
    tasks = plan_tasks(project, workers, report, retries=retries)
    contexts = context_functions(project, tasks)
    hooks = plan_hooks(project, workers, contexts, report)
    removed: dict[str, set[str]] = {}
    for worker in workers:
        removed.setdefault(worker.module.name, set()).add(worker.node.name)
    for module, name in _only_listed(project, workers):
        removed.setdefault(module, set()).add(name)
    home = find_home(project, workers, tasks, hooks, removed, root_name, report) if workers else None
    keys = dict(hooks.keys)
    if hooks.around is not None:
        made_in = hooks.around[0].module.name
        keys |= {name: [KeySource(From.JOB, made_in, JOB_CONTEXT)] for name in hooks.of_jobs}
    declaring = {key.module for key in tasks} | {one.module.name for one in workers}
    declaring |= {one.startup.module.name for one in hooks.lifespans if one.startup and one.parts is not None}
    imports = Imports(project, removed, hooks.kept, home.module if home else "", declaring)
    plan = Plan(
        project,
        workers,
        tasks,
        contexts,
        keys,
        hooks,
        home,
        imports,
        _passes_options(project),
        removed=removed,
    )
    using = [module for module in project.modules.values() if uses_arq(module)]
    plan.pools = pools_of(project, using)
    plan.decorators = _decorators(project, tasks)
    plan.job_functions = {
        TaskKey(module.name, name)
        for module in using
        for name in module.top
        if (function := module.function(name)) is not None and _answers_job(project, module, function)
    }
    if home is None and any(uses_arq(module) for module in project.modules.values()):
        what = "no class of worker settings was found, so it is not known which tasks there are"
        todo = "run this on the folder that has the worker as well as what enqueues"
        report(Finding(".", 0, Kind.HAND, what, todo))
    return plan


def uses_arq(module: Module) -> bool:
    """Tell whether the module may have something of arq's."""
    return _USES.search(module.source.text) is not None


def _may_retry(module: Module) -> bool:
    theirs = any(target.module.partition(".")[0] == "arq" for target in module.imports.values())
    return theirs and re.search(r"\bRetry\b", module.source.text) is not None


def _answers_job(project: Project, module: Module, function: Function) -> bool:
    if function.returns is not None:
        parts = [one for one in ast.walk(function.returns) if isinstance(one, ast.Name | ast.Attribute)]
        refs = [project.resolve(module, ast.unparse(one)) for one in parts]
        return any(ref is not None and ref.arq == "Job" for ref in refs)
    return any(
        isinstance(node, ast.Return) and node.value is not None and _is_enqueue(node.value)
        for node in ast.walk(function)
    )


def _is_enqueue(node: ast.expr) -> bool:
    inner = node.value if isinstance(node, ast.Await) else node
    return (
        isinstance(inner, ast.Call)
        and isinstance(inner.func, ast.Attribute)
        and inner.func.attr == "enqueue_job"
    )


def _decorators(project: Project, tasks: Iterable[TaskKey]) -> set[TaskKey]:
    found: set[TaskKey] = set()
    for key in tasks:
        module = project.modules[key.module]
        function = module.function(key.function)
        for one in function.decorator_list if function else ():
            ref = project.resolve(module, ast.unparse(one.func if isinstance(one, ast.Call) else one))
            if ref is not None and ref.module is not None:
                found.add(TaskKey(ref.module.name, ref.name))
    return found


def _passes_options(project: Project) -> bool:
    return any(
        _gives_option(node)
        for module in project.modules.values()
        if "_defer" in module.source.text
        or "_job_id" in module.source.text
        or "_queue_name" in module.source.text
        for node in ast.walk(module.tree)
    )


def _gives_option(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="enqueue_job")):
            return False
        case ast.Call(keywords=keywords):
            return any(one.arg in OPTIONS for one in keywords)
        case ast.Dict(keys=keys):
            return any(isinstance(one, ast.Constant) and one.value in OPTIONS for one in keys)
        case _:
            return False


def _only_listed(project: Project, workers: list[Worker]) -> list[TaskKey]:
    """Return the lists of tasks that nobody but the workers reads."""
    lists = {one for worker in workers for one in worker.lists}
    gone = {(worker.module.name, worker.node.name) for worker in workers} | {tuple(one) for one in lists}
    unused: list[TaskKey] = []
    for one in sorted(lists):
        users = 0
        for module in project.modules.values():
            for statement in module.tree.body:
                bound = {name for name, found in module.top.items() if statement in found}
                if any((module.name, name) in gone for name in bound) or isinstance(
                    statement, ast.Import | ast.ImportFrom
                ):
                    continue
                users += any(_names(node, one.function) for node in ast.walk(statement))
        if not users:
            unused.append(one)
    return unused


def _names(node: ast.AST, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (
        isinstance(node, ast.Attribute) and node.attr == name
    )
