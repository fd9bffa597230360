"""arq's dict in a task: `ctx["db"]`, and the dict as it is passed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

import libcst as cst
import libcst.matchers as m

from headway.migrate.rewrite.contexts import From
from headway.migrate.rewrite.modules import Target
from headway.migrate.rewrite.site import expression, text_of
from headway.migrate.rewrite.vocabulary import POOL
from headway.migrate.rewrite.workers import TaskKey

if TYPE_CHECKING:
    from headway.migrate.rewrite.site import Site

_OWN: Final = {"job_id": "job_id", "job_try": "attempt"}
_GONE: Final = {
    "enqueue_time": "(await ctx.app.job(ctx.job_id).record()) tells when it was enqueued",
    "score": "(await ctx.app.job(ctx.job_id).record()) tells when it was due",
    "worker_id": "headway workers shows who runs what",
}
_METHODS: Final = ("items", "keys", "values", "update", "setdefault", "pop", "popitem", "copy", "clear")


def key_of(node: cst.BaseExpression, context: str) -> str | None:
    """Return the key of `ctx["key"]` and `ctx.get("key")`; None where it is neither."""
    if isinstance(node, cst.Subscript) and m.matches(node.value, m.Name(context)) and len(node.slice) == 1:
        index = node.slice[0].slice
        return text_of(index.value) if isinstance(index, cst.Index) else None
    if m.matches(node, m.Call(func=m.Attribute(value=m.Name(context), attr=m.Name("get")))):
        args = node.args if isinstance(node, cst.Call) else ()
        return text_of(args[0].value) if args else None
    return None


def literal_of(node: cst.BaseExpression) -> str:
    """Return the key as it is written: within an f-string its quotes matter."""
    texts = [one.value for one in m.findall(node, m.SimpleString()) if isinstance(one, cst.SimpleString)]
    return texts[0]


def value(site: Site, node: cst.BaseExpression, key: str, line: int) -> cst.BaseExpression | None:
    """Return what takes the place of a key that is read; None, with a finding, when nothing does."""
    written_key = literal_of(node)
    context = site.context
    source = site.plan.source_of(key, site.module.name)
    if source is None:
        if key in _OWN:
            return expression(f"{context}.{_OWN[key]}")
        if key == POOL:
            return expression(f"{context}.app")
        what = f'{context}["{key}"] ' + (
            "has no counterpart" if key in _GONE else "is set nowhere that was found"
        )
        site.by_hand(line, what, _GONE.get(key, "declare it with @app.resource and use ctx.resource(...)"))
        return None
    name = site.of_project(Target(source.module, source.name), f"{source.name}_")
    match source.source:
        case From.RESOURCE:
            return expression(f"{context}.resource({name})")
        case From.WHOLE:
            return expression(f"{context}.resource({name})[{written_key}]")
        case From.JOB:
            return expression(f"{name}.get()[{written_key}]")
        case _:
            assert_never(source.source)


def written(site: Site, line: int, shown: str) -> None:
    """Tell of a task that writes into the dict."""
    what = f"{shown} is written in a task: the context of a job keeps nothing"
    site.by_hand(line, what, "use a local variable, or pass it on as an argument")


def as_dict(site: Site, node: cst.CSTNode, line: int) -> None:
    """Tell of what only a dict can do: its other methods, `in`, `**`."""
    context = site.context
    if context and any(m.matches(node, one) for one in _dict_uses(context)):
        shown = site.code(node).rstrip(" ,")
        what = f"{shown} takes the context for a dict"
        site.by_hand(line, what, "ask for what is needed: ctx.resource(...), ctx.job_id, ctx.attempt")


def _dict_uses(context: str) -> tuple[m.BaseMatcherNode, ...]:
    name = m.Name(context)
    methods = m.OneOf(*(m.Name(one) for one in _METHODS))
    inside = m.ComparisonTarget(operator=m.In() | m.NotIn(), comparator=name)
    return (
        m.Attribute(value=name, attr=methods),
        m.Comparison(comparisons=[inside]),
        m.StarredDictElement(value=name),
        m.Arg(value=name, star="**"),
    )


def passed(site: Site, call: cst.Call, line: int) -> None:
    """Tell of the dict given to something that is not known here."""
    given = [
        one
        for one in call.args
        if one.star != "**" and isinstance(one.value, cst.Name) and one.value.value == site.context
    ]
    if not given or not site.context:
        return
    ref = site.resolve(call.func)
    if (
        ref is not None
        and ref.module is not None
        and TaskKey(ref.module.name, ref.name) in site.plan.contexts
    ):
        return
    what = f"{site.code(call.func)}({site.context}, ...) is given arq's dict, and is not defined here"
    site.by_hand(line, what, "it gets a headway.Context now: give it what it needs instead")


def fake(site: Site, node: cst.BaseExpression, line: int) -> str:
    """Return the context for a call of a task with a dict: in tests, with the values that the dict has."""
    if not isinstance(node, cst.Dict):
        what = f"a task is called with {site.code(node)}, a dict of arq's"
        site.by_hand(line, what, "give it headway.testing.FakeContext(resources={...})")
        return ""
    resources: list[str] = []
    given: dict[str, str] = {}
    for element in node.elements:
        key = text_of(element.key) if isinstance(element, cst.DictElement) else None
        source = None if key is None else site.plan.source_of(key, site.module.name)
        text = site.code(element.value)
        if source is not None and source.source is From.RESOURCE:
            resources.append(
                f"{site.of_project(Target(source.module, source.name), f'{source.name}_')}: {text}"
            )
        elif source is not None and source.source is From.WHOLE:
            given.setdefault("whole", site.of_project(Target(source.module, source.name), f"{source.name}_"))
            resources.append(f'"{key}": {text}')
        elif key == "job_try":
            given["attempt"] = text
        elif key == POOL:
            given["app"] = text
        elif key != "job_id":
            site.by_hand(
                line, f"a task is called with {site.code(element)} in arq's dict", "pass it another way"
            )
    whole = given.pop("whole", "")
    if resources:
        inner = f"{{{', '.join(resources)}}}"
        given = {"resources": f"{{{whole}: {inner}}}" if whole else inner, **given}
    made = site.headway("FakeContext", "headway.testing")
    return f"{made}({', '.join(f'{name}={text}' for name, text in given.items())})"
