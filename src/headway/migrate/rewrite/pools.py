"""Calls of arq that are no `enqueue_job`: its pool and settings, `Job`, `Retry`, its workers."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

import libcst as cst
import libcst.matchers as m

from headway.migrate.rewrite import jobs
from headway.migrate.rewrite.constants import is_literal
from headway.migrate.rewrite.pool_names import SHARED
from headway.migrate.rewrite.redis_url import NoUrlError, of_call
from headway.migrate.rewrite.site import dotted_name, expression, text_of
from headway.migrate.rewrite.vocabulary import ARQ_QUEUE, POOL

if TYPE_CHECKING:
    from headway.migrate.rewrite.site import Site

_SERIALIZERS: Final = frozenset({"job_serializer", "job_deserializer"})
_TYPES: Final = {"ArqRedis": "Headway", "Job": "JobHandle", "RedisSettings": "str"}


def call(site: Site, original: cst.Call, updated: cst.Call, line: int) -> cst.BaseExpression | None:  # noqa: PLR0911
    """Return what a call becomes; None where it is none of these."""
    ref = site.resolve(original.func)
    if ref is not None and ref.module is None and ref.name.startswith("arq."):
        name = ref.name.removesuffix(".from_dsn").rpartition(".")[2]
        match name:
            case "create_pool":
                return _opened(site, updated, line)
            case "RedisSettings":
                return _url(site, original, line)
            case "Job" if site.plan.home is not None:
                return jobs.made(site, updated, line)
            case "Retry":
                return _later(updated)
            case "run_worker":
                return _run(site, original, updated, line)
            case "Worker" | "create_worker":
                what = f"{name}(...) makes a worker in code"
                site.by_hand(line, what, "run `headway worker`; in tests use headway.testing.inline(app)")
                return None
            case "ArqRedis":
                site.by_hand(
                    line,
                    "ArqRedis(...) makes a pool in code",
                    "open the app: async with app, or await app.open()",
                )
                return None
            case _:
                return None
    return _of_pool(site, original, updated, line)


def setting(site: Site, node: cst.Attribute) -> cst.BaseExpression | None:
    """Return the literal in the place of `WorkerSettings.queue_name`; None where it is no such thing."""
    ref = site.resolve(node.value)
    if ref is None or ref.module is None:
        return None
    for worker in site.plan.workers:
        if worker.module is ref.module and worker.node.name == ref.name:
            given = worker.settings.get(node.attr.value)
            if given is not None and is_literal(given.node):
                return expression(given.text)
    return None


def annotation(site: Site, node: cst.BaseExpression) -> cst.BaseExpression:
    """Return a type with our names for arq's, also where it is quoted."""

    class Types(cst.CSTTransformer):
        def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
            return self._ours(original_node) or updated_node

        def leave_Attribute(
            self, original_node: cst.Attribute, updated_node: cst.Attribute
        ) -> cst.BaseExpression:
            return self._ours(original_node) or updated_node

        def leave_SimpleString(
            self, original_node: cst.SimpleString, updated_node: cst.SimpleString
        ) -> cst.BaseExpression:
            ours = _TYPES.get(_quoted(site, original_node))
            return updated_node if ours is None else cst.SimpleString(f'"{_type(site, ours)}"')

        def _ours(self, name: cst.BaseExpression) -> cst.BaseExpression | None:
            theirs = site.arq(name)
            if theirs == "Worker":  # as some annotate the dict
                return expression(f"dict[str, {site.standard('Any', 'typing')}]")
            ours = _TYPES.get(theirs)
            return None if ours is None else cst.Name(_type(site, ours))

    changed = node.visit(Types())
    return changed if isinstance(changed, cst.BaseExpression) else node


def _quoted(site: Site, node: cst.SimpleString) -> str:
    text = text_of(node) or ""
    ref = site.plan.project.resolve(site.module, text) if text.replace(".", "").isidentifier() else None
    return "" if ref is None else ref.arq


def _type(site: Site, ours: str) -> str:
    return ours if ours == "str" else site.headway(ours)


def _opened(site: Site, updated: cst.Call, line: int) -> cst.BaseExpression | None:
    if site.plan.home is None:
        return None
    for one in updated.args:
        name = one.keyword.value if one.keyword else ""
        if name == "default_queue_name" and text_of(one.value) != ARQ_QUEUE:
            what = f"create_pool(default_queue_name={site.code(one.value)}): each task has its own queue"
            site.check(line, what, "jobs go to the queue that @app.task names, or options(queue=...)")
        elif name in _SERIALIZERS:
            what = f"create_pool({name}=...) has no counterpart"
            site.by_hand(
                line, what, "arguments are written as MessagePack or JSON, by the types of the parameters"
            )
    return expression(f"{site.app()}.open()")


def _url(site: Site, original: cst.Call, line: int) -> cst.BaseExpression | None:
    node = ast.parse(f"({site.code(original)})", mode="eval").body
    if not isinstance(node, ast.Call):
        return None
    try:
        url = of_call(node, ast.unparse)
    except NoUrlError as error:
        site.by_hand(line, f"RedisSettings: {error}", "write the URL of the Redis")
        return None
    if url.left:
        what = f"RedisSettings: {', '.join(url.left)} was taken out"
        site.by_hand(line, what, "options of TLS go behind the URL, such as ?ssl_ca_certs=ca.pem")
    if url.quotes:
        site.standard("quote", "urllib.parse")
    return expression(url.text)


def _later(updated: cst.Call) -> cst.BaseExpression:
    """Make `RetryLater(delay, counts=True)` of `Retry(defer=delay)`: arq counted each run."""
    given = next((one.value for one in updated.args), None)
    first = cst.Arg(cst.Integer("0") if given is None or m.matches(given, m.Name("None")) else given)
    counts = expression("x(counts=True)")
    more = list(counts.args) if isinstance(counts, cst.Call) else []
    return updated.with_changes(args=[first, *more])


def _run(site: Site, original: cst.Call, updated: cst.Call, line: int) -> cst.BaseExpression | None:
    ref = site.resolve(original.args[0].value) if original.args else None
    known = any(
        ref is not None and worker.module is ref.module and worker.node.name == ref.name
        for worker in site.plan.workers
    )
    if not known or len(updated.args) > 1 or site.plan.home is None:
        site.by_hand(line, "run_worker(...) runs a worker in code", "run `headway worker`")
        return None
    return expression(f'{site.headway("main", "headway.cli")}(["worker", "{site.plan.home.command}"])')


def _of_pool(site: Site, original: cst.Call, updated: cst.Call, line: int) -> cst.BaseExpression | None:
    func = original.func
    if not isinstance(func, cst.Attribute) or not isinstance(updated.func, cst.Attribute):
        return None
    if not _is_pool(site, func.value):
        return None
    name = func.attr.value
    if name in {"close", "aclose"}:
        return updated.with_changes(func=updated.func.with_changes(attr=cst.Name("close")), args=[])
    what = f"{site.code(func.value)}.{name}(...) used arq's pool as a Redis client"
    todo = (
        "await app.jobs.list() and app.queues.counts() tell of jobs; open a client of your own for the rest"
    )
    site.by_hand(line, what, todo)
    return updated


def _is_pool(site: Site, node: cst.BaseExpression) -> bool:
    dotted = dotted_name(node)
    if dotted:
        pools = site.plan.pools
        end = ".".join(dotted.split(".")[-SHARED:])
        return dotted in pools.get(site.module.name, set()) or (
            dotted.count(".") >= SHARED and end in pools[""]
        )
    own = m.matches(
        node,
        m.Subscript(
            value=m.Name(site.context or "ctx"),
            slice=[
                m.SubscriptElement(
                    m.Index(m.SimpleString(value=m.MatchIfTrue(lambda text: text[1:-1] == POOL)))
                )
            ],
        ),
    )
    return own and POOL not in site.plan.keys
