"""A function that is changed: which of its names stand for jobs, and the imports that have to stand in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst
import libcst.matchers as m

from headway.migrate.rewrite import enqueueing
from headway.migrate.rewrite.importing import relative
from headway.migrate.rewrite.workers import TaskKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.migrate.rewrite.modules import Module
    from headway.migrate.rewrite.site import Frame, Site

_CONTEXTS: Final = ("ctx", "context")


def with_imports(function: cst.FunctionDef, frame: Frame, module: Module) -> cst.FunctionDef:
    """Put imports at the beginning of a function, behind its docstring."""
    body: Sequence[cst.BaseStatement | cst.BaseSmallStatement] = function.body.body
    if not isinstance(function.body, cst.IndentedBlock):
        return function
    lines = [
        cst.parse_statement(
            f"from {relative(target.module, module)} import {target.attr}"
            + ("" if local == target.attr else f" as {local}")
        )
        for local, target in sorted(frame.imports.items())
    ]
    at = (
        1
        if body
        and m.matches(
            body[0], m.SimpleStatementLine(body=[m.Expr(m.SimpleString() | m.ConcatenatedString())])
        )
        else 0
    )
    return function.with_changes(body=function.body.with_changes(body=[*body[:at], *lines, *body[at:]]))


def with_typed_context(site: Site, node: cst.FunctionDef, context: str, *, always: bool) -> cst.FunctionDef:
    """Annotate the context: `always`, or where it has an annotation."""

    def annotated(param: cst.Param) -> cst.Param:
        if param.name.value != context or not (always or param.annotation is not None):
            return param
        return param.with_changes(annotation=cst.Annotation(cst.Name(site.headway("Context"))))

    params = node.params.with_changes(
        params=[annotated(one) for one in node.params.params],
        posonly_params=[annotated(one) for one in node.params.posonly_params],
    )
    return node.with_changes(params=params)


def jobs_of(site: Site, function: cst.FunctionDef, frame: Frame) -> None:
    """Find the local names of a function that stand for jobs."""
    for one in m.findall(
        function, m.Assign(targets=[m.AssignTarget(m.Name())]) | m.NamedExpr(target=m.Name())
    ):
        value = one.value if isinstance(one, cst.Assign | cst.NamedExpr) else None
        target = (
            one.targets[0].target
            if isinstance(one, cst.Assign)
            else one.target
            if isinstance(one, cst.NamedExpr)
            else None
        )
        inner = value.expression if isinstance(value, cst.Await) else value
        if not isinstance(target, cst.Name) or not isinstance(inner, cst.Call):
            continue
        if enqueueing.is_enqueue(inner):
            frame.enqueued.add(target.value)
            frame.jobs.add(target.value)
        elif site.arq(inner.func) == "Job" or _answers_job(site, inner):
            frame.jobs.add(target.value)
    for name in _loops_over(function, _lists_of_jobs(function)):
        frame.enqueued.add(name)
        frame.jobs.add(name)
    for param in m.findall(function.params, m.Param()):
        if isinstance(param, cst.Param) and param.annotation is not None:
            names = m.findall(param.annotation, m.Name() | m.Attribute())
            if any(site.arq(one) == "Job" for one in names if isinstance(one, cst.BaseExpression)):
                frame.jobs.add(param.name.value)


def wrapped_context(site: Site, function: cst.FunctionDef) -> str:
    """Return the parameter with the context of a task that this function is around; empty: it is around none."""
    if (
        TaskKey(site.module.name, site.frames[0].name) not in site.plan.decorators
        or not function.params.params
    ):
        return ""
    first = function.params.params[0].name.value
    return first if first in _CONTEXTS else ""


def _lists_of_jobs(function: cst.FunctionDef) -> set[str]:
    """Return the local names for lists of what `enqueue_job` answers."""
    found: set[str] = set()
    for one in m.findall(function, m.Assign(targets=[m.AssignTarget(m.Name())])):
        if isinstance(one, cst.Assign) and _are_enqueued(one.value):
            found.add(cst.ensure_type(one.targets[0].target, cst.Name).value)
    for one in m.findall(function, m.Call(func=m.Attribute(m.Name(), m.Name("append")), args=[m.Arg()])):
        if isinstance(one, cst.Call) and _is_enqueued(one.args[0].value):
            found.add(cst.ensure_type(cst.ensure_type(one.func, cst.Attribute).value, cst.Name).value)
    return found


def _are_enqueued(value: cst.BaseExpression) -> bool:
    """Tell whether this is a list of jobs: written out, comprehended, or gathered."""
    match value:
        case cst.ListComp(elt=elt) | cst.GeneratorExp(elt=elt):
            return _is_enqueued(elt)
        case cst.List(elements=parts) | cst.Tuple(elements=parts):
            return bool(parts) and all(_is_enqueued(one.value) for one in parts)
        case cst.Await(expression=cst.Call(func=func, args=args)) if m.matches(
            func, m.Name("gather") | m.Attribute(attr=m.Name("gather"))
        ):
            given = [one.value for one in args if one.keyword is None]
            return bool(given) and all(_is_enqueued(one) or _are_enqueued(one) for one in given)
        case _:
            return False


def _is_enqueued(value: cst.BaseExpression) -> bool:
    inner = value.expression if isinstance(value, cst.Await) else value
    return isinstance(inner, cst.Call) and enqueueing.is_enqueue(inner)


def _loops_over(function: cst.FunctionDef, lists: set[str]) -> set[str]:
    """Return the names that go through these lists."""
    return {
        one.target.value
        for one in m.findall(function, m.For() | m.CompFor())
        if isinstance(one, cst.For | cst.CompFor)
        and isinstance(one.target, cst.Name)
        and isinstance(one.iter, cst.Name)
        and one.iter.value in lists
    }


def _answers_job(site: Site, call: cst.Call) -> bool:
    ref = site.resolve(call.func)
    return (
        ref is not None
        and ref.module is not None
        and TaskKey(ref.module.name, ref.name) in site.plan.job_functions
    )
