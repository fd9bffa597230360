"""What `on_startup` and `on_shutdown` keep in arq's dict, and whether it can be told apart, one resource a key."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from headway.migrate.rewrite.vocabulary import POOL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headway.migrate.rewrite.modules import Function


class Part(NamedTuple):
    """What opens and closes one key: statements of both functions, by their numbers.

    `kind` is the source of its type. `own`: it is used again after it was assigned. `uses`: keys of parts before it.
    `alias`: the local name that it has as well.
    """

    key: str
    before: tuple[int, ...]
    assign: int
    after: tuple[int, ...]
    close: tuple[int, ...]
    kind: str
    own: bool
    uses: frozenset[str]
    alias: str = ""


class KeyUse(NamedTuple):
    """A place where a key of the dict is read or written. `key` is None where the dict itself is used otherwise."""

    key: str | None
    stored: bool


def parameter(function: Function) -> str:
    """Return the name of the first parameter, which arq gives the dict."""
    args = [*function.args.posonlyargs, *function.args.args]
    return args[0].arg if args else ""


def uses_of(node: ast.AST, name: str) -> Iterator[KeyUse]:
    """Yield each use of the dict below a node."""
    keyed: set[ast.Name] = set()
    for one in ast.walk(node):
        match one:
            case ast.Subscript(value=ast.Name(id=found) as base, slice=ast.Constant(value=str() as key)) if (
                found == name
            ):
                keyed.add(base)
                yield KeyUse(key, not isinstance(one.ctx, ast.Load))
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=found) as base, attr="get"),
                args=[ast.Constant(value=str() as key), *_],
            ) if found == name:
                keyed.add(base)
                yield KeyUse(key, stored=False)
            case ast.Name(id=found) if found == name and one not in keyed:
                yield KeyUse(None, stored=False)
            case _:
                pass


def keys_written(functions: Sequence[tuple[Function, str]]) -> list[str]:
    """Return the keys that functions write into the dict, which is this parameter of theirs, in order."""
    found: list[str] = []
    for function, name in functions:
        found += [use.key for use in uses_of(function, name) if use.stored and use.key is not None]
        for node in ast.walk(function):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=base), attr="setdefault"),
                    args=[ast.Constant(value=str() as key), *_],
                ) if base == name:
                    found.append(key)
                case ast.Call(func=ast.Attribute(value=ast.Name(id=base), attr="update"), keywords=more) if (
                    base == name
                ):
                    found += [one.arg for one in more if one.arg]
                case _:
                    pass
    return list(dict.fromkeys(found))


def parts_of(startup: Function, shutdown: Function | None) -> list[Part] | None:
    """Tell the keys of a start-up apart; None when they depend on each other in a way that statements do not show."""
    opened = _opened(startup)
    if not opened:
        return None
    closed: Mapping[str, list[int]] | None = (
        _closed(shutdown, {part.key for part in opened}, opened[0].key) if shutdown else {}
    )
    if closed is None:
        return None
    return [
        part._replace(close=tuple(closed.get(part.key, ())), own=part.own or part.key in closed)
        for part in opened
    ]


def _opened(startup: Function) -> list[Part] | None:
    name = parameter(startup)
    parts: list[Part] = []
    waiting: list[int] = []
    for n, statement in enumerate(startup.body):
        if _says_nothing(statement):
            continue
        uses = list(uses_of(statement, name))
        key = _assigned_key(statement, name)
        known = {part.key for part in parts}
        if _is_not_plain(statement, uses, key) or not {use.key for use in uses if not use.stored} <= known | {
            POOL
        }:
            return None
        if key is not None:
            if key in known:
                return None
            parts.append(Part(key, tuple(waiting), n, (), (), _kind(statement), own=False, uses=frozenset()))
            waiting = []
        elif parts and {use.key for use in uses} == {parts[-1].key} and not waiting:
            parts[-1] = parts[-1]._replace(after=(*parts[-1].after, n), own=True)
        else:
            waiting.append(n)
    if waiting and parts:
        own = any(use.key == parts[-1].key for n in waiting for use in uses_of(startup.body[n], name))
        parts[-1] = parts[-1]._replace(after=(*parts[-1].after, *waiting), own=parts[-1].own or own)
    parts = [part._replace(alias=_alias(part, startup)) for part in parts]
    aliases = {part.alias: part.key for part in parts if part.alias}
    if not _apart(
        [[startup.body[n] for n in (*part.before, part.assign, *part.after)] for part in parts], set(aliases)
    ):
        return None
    return [_with_uses(part, startup, name, aliases) for part in parts]


def _alias(part: Part, startup: Function) -> str:
    """Return the local name that is assigned to the key, if this part alone binds it, once."""
    match startup.body[part.assign]:
        case ast.Assign(value=ast.Name(id=name)):
            binding = [n for n, one in enumerate(startup.body) if name in _bound(one)]
            return name if len(binding) == 1 and binding[0] in part.before else ""
        case _:
            return ""


def _with_uses(part: Part, startup: Function, name: str, aliases: Mapping[str, str]) -> Part:
    numbers = (*part.before, part.assign, *part.after)
    keys = {use.key for n in numbers for use in uses_of(startup.body[n], name) if use.key is not None}
    loaded = {one for n in numbers for one in _names(startup.body[n], ast.Load)}
    keys |= {key for alias, key in aliases.items() if alias in loaded}
    return part._replace(uses=frozenset(keys - {part.key, POOL}), kind=_kind_of_alias(part, startup))


def _kind_of_alias(part: Part, startup: Function) -> str:
    if part.alias:
        for n in part.before:
            if part.alias in _bound(startup.body[n]):
                return _kind(startup.body[n])
    return part.kind


def _is_not_plain(statement: ast.stmt, uses: list[KeyUse], key: str | None) -> bool:
    stored = [use.key for use in uses if use.stored]
    return (
        any(use.key is None for use in uses)
        or stored != ([] if key is None else [key])
        or any(isinstance(one, ast.Return | ast.Yield | ast.Nonlocal) for one in ast.walk(statement))
    )


def _assigned_key(statement: ast.stmt, name: str) -> str | None:
    match statement:
        case (
            ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id=found), slice=ast.Constant(value=str() as key))]
            )
            | ast.AnnAssign(
                target=ast.Subscript(value=ast.Name(id=found), slice=ast.Constant(value=str() as key)),
                value=ast.expr(),
            )
        ) if found == name:
            return key
        case _:
            return None


def _closed(shutdown: Function, keys: set[str], first: str) -> Mapping[str, list[int]] | None:
    """Say which statements close which key."""
    name = parameter(shutdown)
    closed: dict[str, list[int]] = {}
    of_local: dict[str, str] = {}
    last = first
    for n, statement in enumerate(shutdown.body):
        if _says_nothing(statement):
            continue
        uses = list(uses_of(statement, name))
        if any(use.key is None or use.stored for use in uses):
            return None
        wanted = {use.key for use in uses} | {
            of_local[one] for one in _names(statement, ast.Load) if one in of_local
        }
        if len(wanted) > 1 or not wanted <= keys:
            return None
        last = next(iter(wanted), None) or last
        closed.setdefault(last, []).append(n)
        of_local.update(dict.fromkeys(_names(statement, ast.Store), last))
    if any(isinstance(one, ast.Return) for one in ast.walk(shutdown)):
        return None
    return closed


def _apart(groups: list[list[ast.stmt]], aliases: set[str]) -> bool:
    """Tell whether no group uses a local name that another one binds, but for what is also a key."""
    bound = [{name for one in group for name in _bound(one)} - aliases for group in groups]
    for n, group in enumerate(groups):
        loaded = {name for one in group for name in _names(one, ast.Load)}
        if any(loaded & other for m, other in enumerate(bound) if m != n):
            return False
    return True


def _bound(statement: ast.stmt) -> set[str]:
    imports = {
        alias.asname or alias.name.partition(".")[0]
        for one in ast.walk(statement)
        if isinstance(one, ast.Import | ast.ImportFrom)
        for alias in one.names
    }
    return imports | _names(statement, ast.Store)


def _names(statement: ast.stmt, kind: type[ast.expr_context]) -> set[str]:
    return {one.id for one in ast.walk(statement) if isinstance(one, ast.Name) and isinstance(one.ctx, kind)}


def _says_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case _:
            return False


def _kind(statement: ast.stmt) -> str:
    """Return the type of what is assigned, where a class is called: a name that begins with a capital."""
    match statement:
        case ast.AnnAssign(annotation=annotation):
            return ast.unparse(annotation)
        case ast.Assign(value=ast.Call(func=ast.Name() | ast.Attribute() as called)):
            written = ast.unparse(called)
            return written if written.rpartition(".")[2][:1].isupper() else "Any"
        case _:
            return "Any"
