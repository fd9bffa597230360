"""The top level of a changed module: the app and what start-ups have become stand where arq's settings were."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import libcst as cst

from headway.migrate.rewrite import lifespan_code
from headway.migrate.rewrite.lifespan_code import is_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headway.migrate.rewrite.hooks import Hook, Lifespan
    from headway.migrate.rewrite.site import Site
    from headway.migrate.rewrite.workers import Worker


def assemble(site: Site, tree: cst.Module) -> cst.Module:
    """Put the app, resources and middleware into a module whose expressions are changed."""
    body: list[cst.BaseStatement] = list(tree.body)
    plan, here = site.plan, site.module
    for lifespan in plan.hooks.lifespans:
        if lifespan.parts is not None and lifespan.startup is not None and lifespan.startup.module is here:
            body = _split(site, lifespan, body)
    app: list[cst.BaseStatement] = []
    for worker in plan.workers:
        if worker.module is here:
            first = worker is plan.workers[0] and plan.home is not None and not plan.home.new_file
            settings: set[str] = (
                {one.setting for one in plan.home.arguments} if first and plan.home else set()
            )
            body, comments, by_setting = _without_class(site, worker, body, settings)
            if first:
                app = [_app(site, comments, by_setting)]
    lists = plan.removed.get(here.name, set()) - {one.node.name for one in plan.workers}
    body = [one for one in body if not any(is_named(one, name) for name in lists)]
    if app and plan.home is not None:
        for name, target in plan.home.imports.items():
            if name not in here.imports:
                site.needs[name] = target
        at = _place(site, body, {name for one in plan.home.arguments for name in _names(one.text)})
        body = [*body[:at], *app, *_spread(body[at:])]
    return tree.with_changes(body=body)


def _split(site: Site, lifespan: Lifespan, body: list[cst.BaseStatement]) -> list[cst.BaseStatement]:
    """Put resources in the place of a start-up; the shutdown is in them."""
    startup, shutdown = lifespan.startup, lifespan.shutdown
    if startup is None or startup.in_class:
        return body  # they go where the class was
    opens = _function(body, startup)
    closes = None if shutdown is None else _function(body, shutdown)
    if opens is None:
        return body
    made = lifespan_code.resources(site, lifespan, opens, closes)
    changed = [one for statement in body for one in (made if statement is opens else [statement])]
    return [one for one in changed if one is not closes]


def _function(body: Sequence[cst.BaseStatement], hook: Hook) -> cst.FunctionDef | None:
    return next(
        (one for one in body if isinstance(one, cst.FunctionDef) and one.name.value == hook.name), None
    )


def _without_class(
    site: Site, worker: Worker, body: list[cst.BaseStatement], settings: set[str]
) -> tuple[list[cst.BaseStatement], list[cst.EmptyLine], dict[str, tuple[list[str], str]]]:
    """Take the settings out, and put there what has to stand below all functions; return its comments as well."""
    at = next((n for n, one in enumerate(body) if is_named(one, worker.node.name)), None)
    if at is None:
        return body, [], {}
    node = cst.ensure_type(body[at], cst.ClassDef)
    inner: list[cst.BaseStatement] = list(node.body.body) if isinstance(node.body, cst.IndentedBlock) else []
    made: list[cst.BaseStatement] = []
    for lifespan in site.plan.hooks.lifespans:
        if lifespan.worker is worker:
            made += _of_class(site, lifespan, inner)
    if site.plan.hooks.around is not None and site.plan.hooks.around[0] is worker:
        made += [_outside(one) for one in _in_class(site.plan.hooks.around[1:], inner)]
        made += lifespan_code.around_jobs(site)
    if made and hasattr(made[0], "leading_lines"):
        made[0] = made[0].with_changes(leading_lines=_blank_only(node.leading_lines) or _two_blank())
    rest = body[at + 1 :]
    by_setting = {name: _said(one) for name in settings for one in inner if is_named(one, name)}
    others = [one for one in inner if not any(is_named(one, name) for name in settings)]
    comments = [*_comments(node.leading_lines), *_inside(others)]
    return [*body[:at], *made, *rest], comments, by_setting


def _said(statement: cst.BaseStatement) -> tuple[list[str], str]:
    """Return the comments above and behind a setting."""
    if not isinstance(statement, cst.SimpleStatementLine):
        return [], ""
    above = [one.comment.value for one in statement.leading_lines if one.comment is not None]
    behind = statement.trailing_whitespace.comment
    return above, "" if behind is None else behind.value


def _of_class(site: Site, lifespan: Lifespan, inner: list[cst.BaseStatement]) -> list[cst.BaseStatement]:
    in_class = [one for one in (lifespan.startup, lifespan.shutdown) if one is not None and one.in_class]
    if lifespan.parts is None:
        return [
            *(_outside(one) for one in _in_class(in_class, inner)),
            *lifespan_code.whole(site, lifespan),
        ]
    if not in_class or lifespan.startup is None:
        return []
    opens = _function(inner, lifespan.startup)
    closes = None if lifespan.shutdown is None else _function(inner, lifespan.shutdown)
    return [] if opens is None else lifespan_code.resources(site, lifespan, opens, closes)


def _in_class(hooks: Sequence[Hook | None], inner: list[cst.BaseStatement]) -> Iterator[cst.FunctionDef]:
    for hook in hooks:
        if hook is not None and hook.in_class and (function := _function(inner, hook)) is not None:
            yield function


def _outside(function: cst.FunctionDef) -> cst.FunctionDef:
    return function.with_changes(decorators=[], lines_after_decorators=[], leading_lines=_two_blank())


def _app(
    site: Site, comments: list[cst.EmptyLine], by_setting: dict[str, tuple[list[str], str]]
) -> cst.SimpleStatementLine:
    home = site.plan.home
    if home is None:
        msg = "there is no app to write"
        raise ValueError(msg)
    made = site.headway("Headway")
    text = home.written(by_setting).replace("= Headway(", f"= {made}(", 1)
    statement = cst.ensure_type(cst.parse_statement(text), cst.SimpleStatementLine)
    return statement.with_changes(leading_lines=[cst.EmptyLine(indent=False), *comments])


def _place(site: Site, body: list[cst.BaseStatement], names: set[str]) -> int:
    """Return where the app goes: above the first that uses it, below all that it uses itself."""
    home = site.plan.home
    variable = home.variable if home is not None else ""
    uses = [n for n, one in enumerate(body) if variable in _decorators(site, one)]
    binds = [n for n, one in enumerate(body) if _bound(site, one) & names]
    imports = [n for n, one in enumerate(body) if _is_import(one)]
    first = uses[0] if uses else len(body)
    least = max(
        [*(n + 1 for n in binds), *(n + 1 for n in imports if n < first)], default=_behind_docstring(body)
    )
    if binds and binds[-1] >= first:
        line = site.plan.workers[0].node.lineno
        late = ", ".join(sorted(_bound(site, body[binds[-1]]) & names))
        site.by_hand(
            line, f"the app uses {late}, which is defined below the first task", "move it above the app"
        )
        return max((n + 1 for n in imports if n < first), default=first)
    return least


def _behind_docstring(body: list[cst.BaseStatement]) -> int:
    match body:
        case [
            cst.SimpleStatementLine(body=[cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString())]),
            *_,
        ]:
            return 1
        case _:
            return 0


def _decorators(site: Site, statement: cst.BaseStatement) -> set[str]:
    if not isinstance(statement, cst.FunctionDef):
        return set()
    return {site.code(one.decorator).partition(".")[0] for one in statement.decorators}


def _bound(site: Site, statement: cst.BaseStatement) -> set[str]:
    if _is_import(statement):
        return set()
    match statement:
        case cst.FunctionDef(name=cst.Name(value=name)) | cst.ClassDef(name=cst.Name(value=name)):
            return {name}
        case _:
            tree = ast.parse(site.code(statement).strip() or "pass")
            return {
                one.id
                for one in ast.walk(tree)
                if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
            }


def _is_import(statement: cst.BaseStatement) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and any(
        isinstance(one, cst.Import | cst.ImportFrom) for one in statement.body
    )


def _names(text: str) -> set[str]:
    return {one.id for one in ast.walk(ast.parse(text, mode="eval")) if isinstance(one, ast.Name)}


def _spread(rest: Sequence[cst.BaseStatement]) -> list[cst.BaseStatement]:
    """Have two empty lines between the app and a function or class behind it, one before anything else."""
    if not rest or not isinstance(rest[0], cst.FunctionDef | cst.ClassDef | cst.SimpleStatementLine):
        return list(rest)
    blanks = _two_blank() if isinstance(rest[0], cst.FunctionDef | cst.ClassDef) else _two_blank()[:1]
    comments = [one for one in rest[0].leading_lines if one.comment is not None]
    return [rest[0].with_changes(leading_lines=[*blanks, *comments]), *rest[1:]]


def _two_blank() -> list[cst.EmptyLine]:
    return [cst.EmptyLine(indent=False), cst.EmptyLine(indent=False)]


def _blank_only(lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    return [one for one in lines if one.comment is None]


def _comments(lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    return [cst.EmptyLine(indent=False, comment=one.comment) for one in lines if one.comment is not None]


def _inside(inner: Sequence[cst.BaseStatement]) -> Iterator[cst.EmptyLine]:
    """Yield the comments of the settings: those above and behind them, and the docstring as one."""
    for n, statement in enumerate(inner):
        if not isinstance(statement, cst.SimpleStatementLine):
            continue
        yield from _comments(statement.leading_lines)
        match statement.body:
            case [cst.Expr(value=cst.SimpleString() as text)] if n == 0:
                lines = str(text.evaluated_value).strip().splitlines()
                yield from (_comment(line.strip()) for line in lines)
            case _ if statement.trailing_whitespace.comment is not None:
                yield cst.EmptyLine(indent=False, comment=statement.trailing_whitespace.comment)
            case _:
                pass


def _comment(text: str) -> cst.EmptyLine:
    return cst.EmptyLine(indent=False, comment=cst.Comment(f"# {text}".rstrip()))
