"""The resources and middleware in the place of arq's start-up, shutdown and hooks around jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst
import libcst.matchers as m

from headway.migrate.rewrite.contexting import key_of
from headway.migrate.rewrite.contexts import JOB_CONTEXT, From
from headway.migrate.rewrite.lifespans import keys_written, parameter, uses_of
from headway.migrate.rewrite.modules import Target
from headway.migrate.rewrite.site import dotted_name, expression
from headway.migrate.rewrite.vocabulary import POOL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.migrate.rewrite.hooks import Hook, Lifespan
    from headway.migrate.rewrite.lifespans import Part
    from headway.migrate.rewrite.site import Site


def resources(
    site: Site, lifespan: Lifespan, startup: cst.FunctionDef, shutdown: cst.FunctionDef | None
) -> list[cst.BaseStatement]:
    """Make a resource of each key; both functions are already changed otherwise."""
    opens: Sequence[cst.BaseStatement] = (
        startup.body.body if isinstance(startup.body, cst.IndentedBlock) else []
    )
    closes: Sequence[cst.BaseStatement] = (
        shutdown.body.body if shutdown is not None and isinstance(shutdown.body, cst.IndentedBlock) else []
    )
    made: list[cst.BaseStatement] = []
    for n, part in enumerate(lifespan.parts or ()):
        lines = (
            startup.leading_lines if n == 0 else [cst.EmptyLine(indent=False), cst.EmptyLine(indent=False)]
        )
        made.append(_resource(site, lifespan, part, opens, closes).with_changes(leading_lines=lines))
    return made


def _resource(
    site: Site,
    lifespan: Lifespan,
    part: Part,
    opens: Sequence[cst.BaseStatement],
    closes: Sequence[cst.BaseStatement],
) -> cst.FunctionDef:
    startup, shutdown = lifespan.startup, lifespan.shutdown
    opening = parameter(startup.function) if startup and startup.function else ""
    closing = parameter(shutdown.function) if shutdown and shutdown.function else ""
    variable = _variable(
        part, [*(opens[n] for n in (*part.before, *part.after)), *(closes[n] for n in part.close)]
    )
    assigned = opens[part.assign]
    value = _value(assigned)
    body: list[cst.BaseStatement] = [
        _keyed(site, lifespan, part, opens[n], opening, variable) for n in part.before
    ]
    keyed = cst.ensure_type(
        _keyed(site, lifespan, part, assigned, opening, variable), cst.SimpleStatementLine
    )
    changed = _value(keyed) or value or cst.Name("None")
    if part.alias:
        body += [_keyed(site, lifespan, part, opens[n], opening, variable) for n in part.after]
        body.append(cst.SimpleStatementLine([cst.Expr(cst.Yield(cst.Name(part.alias)))]))
    elif part.own:
        assign = cst.Assign([cst.AssignTarget(cst.Name(variable))], changed)
        body.append(keyed.with_changes(body=[assign]))
        body += [_keyed(site, lifespan, part, opens[n], opening, variable) for n in part.after]
        body.append(cst.SimpleStatementLine([cst.Expr(cst.Yield(cst.Name(variable)))]))
    else:
        body.append(keyed.with_changes(body=[cst.Expr(cst.Yield(changed))]))
        body += [_keyed(site, lifespan, part, opens[n], opening, variable) for n in part.after]
    body += [_keyed(site, lifespan, part, closes[n], closing, variable) for n in part.close]
    iterator = site.standard("AsyncIterator", "collections.abc")
    kind = part.kind if part.kind != "Any" else site.standard("Any", "typing")
    takes = f"resources: {site.headway('Resources')}" if part.uses else ""
    head = f"@{site.app()}.resource\nasync def {lifespan.names[part.key]}({takes}) -> {iterator}[{kind}]:\n    pass\n"
    function = cst.ensure_type(cst.parse_statement(head), cst.FunctionDef)
    return function.with_changes(body=cst.IndentedBlock(body))


def _variable(part: Part, statements: Sequence[cst.BaseStatement]) -> str:
    names = {
        one.value
        for statement in statements
        for one in m.findall(statement, m.Name())
        if isinstance(one, cst.Name)
    }
    if part.alias:
        return part.alias
    return part.key if part.key.isidentifier() and part.key not in names else "opened"


def _value(statement: cst.BaseStatement) -> cst.BaseExpression | None:
    if isinstance(statement, cst.SimpleStatementLine) and isinstance(
        statement.body[0], cst.Assign | cst.AnnAssign
    ):
        return statement.body[0].value
    return None


def _keyed(  # noqa: PLR0917 - what a statement is changed with
    site: Site, lifespan: Lifespan, part: Part, statement: cst.BaseStatement, context: str, variable: str
) -> cst.BaseStatement:
    """Write a statement with variables and resources in the place of the dict's keys."""
    others = {one.alias: one.key for one in lifespan.parts or () if one.alias and one is not part}

    class Keys(cst.CSTTransformer):
        def leave_Subscript(
            self, original_node: cst.Subscript, updated_node: cst.Subscript
        ) -> cst.BaseExpression:
            return self._ours(original_node) or updated_node

        def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
            return self._ours(original_node) or updated_node

        def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
            key = others.get(original_node.value)
            return updated_node if key is None else expression(f"resources[{lifespan.names[key]}]")

        def _ours(self, node: cst.BaseExpression) -> cst.BaseExpression | None:
            key = key_of(node, context)
            if key is None:
                return None
            if key == part.key:
                return cst.Name(variable)
            if key in lifespan.names:
                return expression(f"resources[{lifespan.names[key]}]")
            return expression(site.app())

    changed = statement.visit(Keys())
    return changed if isinstance(changed, cst.BaseStatement) else statement


def whole(site: Site, lifespan: Lifespan) -> list[cst.BaseStatement]:
    """Make one resource of the dict that start-up and shutdown share; both functions stay as they are."""
    dict_type = f"dict[str, {site.standard('Any', 'typing')}]"
    iterator = site.standard("AsyncIterator", "collections.abc")
    pool = f'{{"redis": {site.app()}}}' if lifespan.needs_pool else "{}"
    lines = [
        f"@{site.app()}.resource",
        f"async def {lifespan.whole}() -> {iterator}[{dict_type}]:",
        f"    ctx: {dict_type} = {pool}",
        *([f"    await {_called(site, lifespan.startup)}(ctx)"] if lifespan.startup else []),
        "    yield ctx",
        *([f"    await {_called(site, lifespan.shutdown)}(ctx)"] if lifespan.shutdown else []),
    ]
    return [_spaced(cst.parse_statement("\n".join(lines) + "\n"))]


def around_jobs(site: Site) -> list[cst.BaseStatement]:
    """Make middleware of `on_job_start` and `on_job_end`, with a dict for them that is made for each job."""
    around = site.plan.hooks.around
    if around is None:
        return []
    _, before, after = around
    dict_type = f"dict[str, {site.standard('Any', 'typing')}]"
    items = [*_shared(site, [one for one in (before, after) if one is not None])]
    made: list[cst.BaseStatement] = []
    if site.plan.hooks.of_jobs:
        variable = site.standard("ContextVar", "contextvars")
        made.append(
            _spaced(
                cst.parse_statement(f'{JOB_CONTEXT}: {variable}[{dict_type}] = {variable}("{JOB_CONTEXT}")')
            )
        )
    any_ = site.standard("Any", "typing")
    lines = [
        f"@{site.app()}.middleware",
        f"async def around_jobs(call: {site.headway('JobCall')}, proceed: {site.headway('Proceed')}) -> {any_}:",
        f"    ctx: {dict_type} = {{",
        *(f"        {one}," for one in items),
        "    }",
        *([f"    {JOB_CONTEXT}.set(ctx)"] if site.plan.hooks.of_jobs else []),
        *([f"    await {_called(site, before)}(ctx)"] if before else []),
    ]
    if after:
        lines += [
            "    try:",
            "        return await proceed()",
            "    finally:",
            f"        await {_called(site, after)}(ctx)",
        ]
    else:
        lines.append("    return await proceed()")
    return [*made, _spaced(cst.parse_statement("\n".join(lines) + "\n"))]


def _shared(site: Site, hooks: Sequence[Hook]) -> list[str]:
    """Return the items that the dict begins with: arq's own and those of the start-up that the hooks read."""
    functions = [one.function for one in hooks if one.function is not None]
    own = keys_written([(one, parameter(one)) for one in functions])
    items = ['"job_id": call.job_id', '"job_try": call.attempt']
    used = {use.key for one in functions for use in uses_of(one, parameter(one)) if use.key}
    for key in sorted(used - set(own)):
        source = site.plan.source_of(key, site.module.name)
        if source is not None and source.source is not From.JOB:
            name = site.of_project(Target(source.module, source.name), f"{source.name}_")
            value = f"call.resource({name})"
            items.append(
                f'"{key}": {value}' if source.source is From.RESOURCE else f'"{key}": {value}["{key}"]'
            )
        elif key == POOL:
            items.append(f'"redis": {site.app()}')
    return items


def _called(site: Site, hook: Hook | None) -> str:
    if hook is None:
        return ""
    if hook.in_class or hook.function is None or "." in hook.name:
        return hook.name
    return site.of_project(Target(hook.module.name, hook.name), f"{hook.name}_")


def _spaced(statement: cst.BaseStatement) -> cst.BaseStatement:
    blank = [cst.EmptyLine(indent=False), cst.EmptyLine(indent=False)]
    if isinstance(statement, cst.FunctionDef | cst.SimpleStatementLine):
        return statement.with_changes(leading_lines=blank)
    return statement


def is_named(statement: cst.CSTNode, name: str) -> bool:
    """Tell whether a statement defines this function or class, or assigns this name alone."""
    match statement:
        case cst.FunctionDef(name=cst.Name(value=found)) | cst.ClassDef(name=cst.Name(value=found)):
            return found == name
        case cst.SimpleStatementLine(body=[cst.Assign(targets=[cst.AssignTarget(target=target)])]) | (
            cst.SimpleStatementLine(body=[cst.AnnAssign(target=target)])
        ):
            return dotted_name(target) == name
        case _:
            return False
