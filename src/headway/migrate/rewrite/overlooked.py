"""Settings of workers that stand where they are not read: told, so that nobody misses them."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from headway.migrate.rewrite.findings import Finding, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.modules import Module
    from headway.migrate.rewrite.project import Project
    from headway.migrate.rewrite.workers import Worker

_LISTS: Final = frozenset({"functions", "cron_jobs"})
_SETTINGS: Final = _LISTS | {
    "redis_settings", "queue_name", "on_startup", "on_shutdown", "on_job_start", "on_job_end", "after_job_end",
    "max_jobs", "max_tries", "job_timeout", "keep_result", "timezone", "ctx",
}  # fmt: skip
_DEPTH: Final = 5


def tell_of_overlooked(project: Project, workers: Sequence[Worker], report: Report) -> None:
    """Report settings in base classes, which arq does not read, and in dicts, which this does not."""
    for worker in workers:
        own = worker.settings.keys() | worker.hooks.keys()
        for base in _bases(project, worker.module, worker.node, _DEPTH):
            names = sorted(_assigned(base) & _SETTINGS - own)
            if names:
                what = f"{worker.node.name} has {', '.join(names)} from {base.name}: arq reads nothing of base classes"
                todo = "write it into the class, and run this again, if it was meant"
                report(Finding(worker.module.file, worker.node.lineno, Kind.CHECK, what, todo))
    for module in project.modules.values():
        if any(target.module.partition(".")[0] == "arq" for target in module.imports.values()):
            for line, name in _dicts(module):
                what = f"{name} is a dict of worker settings"
                report(Finding(module.file, line, Kind.HAND, what, "make it a class, then run this again"))


def _bases(project: Project, module: Module, node: ast.ClassDef, depth: int) -> Iterator[ast.ClassDef]:
    for base in node.bases:
        ref = project.resolve(module, ast.unparse(base))
        if ref is None or ref.module is None or not depth:
            continue
        for statement in ref.module.top.get(ref.name, ()):
            if isinstance(statement, ast.ClassDef):
                yield statement
                yield from _bases(project, ref.module, statement, depth - 1)


def _assigned(node: ast.ClassDef) -> set[str]:
    found: set[str] = set()
    for statement in node.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)])
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr())
            ):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case _:
                pass
    return found


def _dicts(module: Module) -> Iterator[tuple[int, str]]:
    for statement in module.tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                keys = set(_keys(value))
                if keys & _LISTS and keys <= _SETTINGS | {"burst", "handle_signals", "poll_delay"}:
                    yield statement.lineno, name
            case _:
                pass


def _keys(value: ast.expr) -> Iterable[str]:
    match value:
        case ast.Dict(keys=keys):
            return [one.value for one in keys if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return [one.arg for one in keywords if one.arg]
        case _:
            return []
