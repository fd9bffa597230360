"""Who is given arq's dict, and where each of its keys comes from in Headway."""

from __future__ import annotations

import ast
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.migrate.rewrite.lifespans import parameter
from headway.migrate.rewrite.workers import TaskKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headway.migrate.rewrite.modules import Function, Module
    from headway.migrate.rewrite.project import Project


class From(StrEnum):
    """Where a key of the dict comes from."""

    RESOURCE = "resource"
    """A resource of its own."""
    WHOLE = "whole"
    """One resource that is the dict of the start-up."""
    JOB = "job"
    """A dict that middleware makes for each job."""


class KeySource(NamedTuple):
    """What a key of the dict becomes: `name`, of the top level of `module`."""

    source: From
    module: str
    name: str


JOB_CONTEXT: Final = "job_context"
"""The context variable with the dict of the running job."""


def context_functions(project: Project, tasks: Iterable[TaskKey]) -> dict[TaskKey, str]:
    """Return the functions that are given the dict, each with its parameter: tasks, and what they pass it on to."""
    found: dict[TaskKey, str] = {}
    waiting: list[tuple[TaskKey, str]] = []
    for key in tasks:
        function = project.modules[key.module].function(key.function)
        if function is not None:
            waiting.append((key, parameter(function)))
    while waiting:
        key, name = waiting.pop()
        if key in found or not name:
            continue
        found[key] = name
        module = project.modules[key.module]
        function = module.function(key.function)
        if function is not None:
            waiting += passed_on(project, module, function, name)
    return found


def passed_on(
    project: Project, module: Module, function: Function, name: str
) -> Iterator[tuple[TaskKey, str]]:
    """Yield the functions of the project to which a function passes one of its parameters, and as which."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name | ast.Attribute):
            continue
        at = [n for n, one in enumerate(node.args) if isinstance(one, ast.Name) and one.id == name]
        named = [one.arg for one in node.keywords if isinstance(one.value, ast.Name) and one.value.id == name]
        if not at and not named:
            continue
        ref = project.resolve(module, ast.unparse(node.func))
        called = None if ref is None or ref.module is None else ref.module.function(ref.name)
        if called is None or ref is None or ref.module is None:
            continue
        parameters = [*called.args.posonlyargs, *called.args.args]
        names = [parameters[n].arg for n in at if n < len(parameters)] + [one for one in named if one]
        for one in names:
            yield TaskKey(ref.module.name, ref.name), one
