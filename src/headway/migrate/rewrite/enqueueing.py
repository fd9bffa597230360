"""`pool.enqueue_job("name", ...)` as a call of the task."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, NamedTuple

import libcst as cst
import libcst.matchers as m

from headway.migrate.rewrite.site import expression, text_of
from headway.migrate.rewrite.vocabulary import ARQ_QUEUE, OPTIONS
from headway.migrate.rewrite.workers import TaskKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.migrate.rewrite.site import Site

_NAIVE: Final = m.OneOf(
    m.Call(func=m.Attribute(attr=m.Name("utcnow"))),
    m.Call(func=m.Attribute(attr=m.Name("now")), args=[]),
    m.Call(
        func=m.Name("datetime") | m.Attribute(attr=m.Name("datetime")),
        args=[m.AtLeastN(m.Arg(keyword=None), n=3)],
    ),
)


class Enqueue(NamedTuple):
    """What is in the place of a call; `before` is what its pool did, and has to be done first."""

    call: cst.BaseExpression
    before: cst.BaseExpression | None = None


def is_enqueue(node: cst.BaseExpression) -> bool:
    """Tell whether this is a call of arq's `enqueue_job`."""
    return m.matches(node, m.Call(func=m.Attribute(attr=m.Name("enqueue_job"))))


def enqueue(site: Site, call: cst.Call, line: int, *, in_statement: bool) -> Enqueue | None:
    """Return what takes the place of a call; None, with a finding, when it has to stay."""
    named, rest = _function(call.args)
    receiver = call.func.value if isinstance(call.func, cst.Attribute) else None
    if named is None or receiver is None or site.plan.home is None:
        if site.plan.home is not None:
            site.by_hand(line, "enqueue_job without a function", "call the task's enqueue")
        return None
    if any(one.star == "**" and _may_hold_options(site, one) for one in rest):
        what = "enqueue_job gets keyword arguments from its caller, and some callers give options such as _defer_by"
        site.by_hand(line, what, "pass options apart: app.find_task(name).options(...).enqueue(...)")
        return None
    name = text_of(named) or _known(site, named)
    acts = bool(m.findall(receiver, m.OneOf(m.Call(), m.Await())))
    if name is None:
        base = _by_name(site, receiver if acts else None, site.code(named))
        what = f"which task it is, {site.code(named)}, is known only when the code runs"
        site.check(line, what, "its arguments are checked then, not by type checkers")
        return Enqueue(_with_options(site, call, base, rest, line))
    task = site.plan.named(name, site.module.name)
    if task is None:
        what = f"no task {name!r} was found here"
        site.by_hand(line, what, "import it and call its enqueue; run this on the folder that has it as well")
        return None
    if acts and not in_statement:
        _ = site.task(task)
        return Enqueue(_with_options(site, call, _by_name(site, receiver, site.code(named)), rest, line))
    return Enqueue(_with_options(site, call, site.task(task), rest, line), receiver if acts else None)


def _known(site: Site, named: cst.BaseExpression) -> str | None:
    """Return the name of a task that is given as `task.__name__`, or by a constant of the project; None otherwise."""
    of_function = isinstance(named, cst.Attribute) and named.attr.value in {"__name__", "__qualname__"}
    ref = site.resolve(named.value if of_function and isinstance(named, cst.Attribute) else named)
    if ref is None or ref.module is None:
        return None
    if of_function:
        task = site.plan.tasks.get(TaskKey(ref.module.name, ref.name))
        return None if task is None or task.name != ref.name else task.name
    match ref.module.assigned(ref.name):
        case ast.Constant(value=str() as name) if site.plan.named(name, site.module.name) is not None:
            return name
        case _:
            return None


def _by_name(site: Site, receiver: cst.BaseExpression | None, name: str) -> str:
    if receiver is None:
        return f"{site.app()}.import_included().find_task({name})"
    pool = site.code(receiver)
    return (
        f"{f'({pool})' if isinstance(receiver, cst.Await) and not receiver.lpar else pool}.find_task({name})"
    )


def _function(args: Sequence[cst.Arg]) -> tuple[cst.BaseExpression | None, list[cst.Arg]]:
    """Part the name of the function from the other arguments."""
    for n, one in enumerate(args):
        if (n == 0 and one.keyword is None and not one.star) or (
            one.keyword and one.keyword.value == "function"
        ):
            return one.value, [*args[:n], *args[n + 1 :]]
    return None, list(args)


def _may_hold_options(site: Site, star: cst.Arg) -> bool:
    """Tell whether `**kwargs` is what the callers of this function give, and one of them gives options of arq's."""
    if not isinstance(star.value, cst.Name) or star.value.value not in {"kwargs", "kw", "options", "opts"}:
        return False
    return site.plan.passes_options


def _with_options(
    site: Site, call: cst.Call, base: str, args: list[cst.Arg], line: int
) -> cst.BaseExpression:
    options: list[str] = []
    kept: list[cst.Arg] = []
    for one in args:
        name = one.keyword.value if one.keyword else ""
        if name in OPTIONS:
            value = site.code(one.value)
            if name == "_queue_name" and text_of(one.value) == ARQ_QUEUE:
                value = '"default"'
            if name == "_defer_until" and m.findall(one.value, _NAIVE):
                site.by_hand(
                    line, f"_defer_until={value} has no time zone", "give an aware time: datetime.now(UTC)"
                )
            options.append(f"{OPTIONS[name]}={value}")
        elif name == "_job_try":
            what = f"_job_try={site.code(one.value)} has no counterpart and was taken out"
            site.by_hand(line, what, "pass the number as an argument of the task")
        else:
            kept.append(one)
    if kept:
        kept[-1] = _last(kept[-1], args[-1])
    called = expression(f"{base}.options({', '.join(options)}).enqueue" if options else f"{base}.enqueue")
    return call.with_changes(func=called, args=kept) if kept else cst.Call(func=called)


def _last(arg: cst.Arg, was_last: cst.Arg) -> cst.Arg:
    """Write an argument as the last one: with the comma and line break that the last one had."""
    if arg is was_last:
        return arg
    return arg.with_changes(comma=was_last.comma, whitespace_after_arg=was_last.whitespace_after_arg)
