"""The imports of a changed module: what it needs is added, what only arq's settings used is taken out."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Final, TypeAlias

import libcst as cst

from headway.migrate.rewrite.site import dotted_name
from headway.migrate.rewrite.usage import unused_imports, used_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.migrate.rewrite.modules import Module, Target
    from headway.migrate.rewrite.plan import Plan

_FUTURE: Final = "__future__"
_FIRST, _STANDARD, _OTHERS, _PROJECT = range(4)  # in the order in which imports stand


def with_imports(plan: Plan, module: Module, tree: cst.Module, needs: Mapping[str, Target]) -> cst.Module:
    """Return the module with its imports as they have to be."""
    used = used_names(ast.parse(tree.code))
    needs = {local: target for local, target in needs.items() if local in used}
    body = _taken_out(tree, _TakeOut(unused_imports(plan, module, used, needs)))
    for line in import_lines(needs, module):
        if not _joined(body, line):
            _insert(body, line, plan)
    if body and not tree.header and hasattr(body[0], "leading_lines"):
        body[0] = body[0].with_changes(leading_lines=_from_first_comment(body[0].leading_lines))
    return tree.with_changes(body=body)


_Statement: TypeAlias = cst.SimpleStatementLine | cst.BaseCompoundStatement


def _taken_out(tree: cst.Module, out: _TakeOut) -> list[_Statement]:
    """Take imports out; what stands above one that goes, comments and empty lines, stays."""
    body: list[_Statement] = []
    above: Sequence[cst.EmptyLine] = ()
    for statement in tree.body:
        changed = statement.visit(out)
        lines = getattr(statement, "leading_lines", ())
        gone = isinstance(changed, cst.SimpleStatementLine) and not changed.body
        if gone or not isinstance(changed, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            above = above or lines
            continue
        import_like = isinstance(changed, cst.SimpleStatementLine) and isinstance(
            changed.body[0], cst.Import | cst.ImportFrom
        )
        if above and not lines and import_like:
            changed = changed.with_changes(leading_lines=above)
        above = ()
        body.append(changed)
    return body


def _from_first_comment(lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    first = next((n for n, one in enumerate(lines) if one.comment is not None), len(lines))
    return list(lines[first:])


def _joined(body: list[_Statement], line: str) -> bool:
    """Put names into an import of the same module on one line, if there is one."""
    made = cst.ensure_type(cst.parse_statement(line), cst.SimpleStatementLine).body[0]
    for n, statement in enumerate(body[: _place(body)]):
        match statement:
            case cst.SimpleStatementLine(
                body=[cst.ImportFrom(names=[*names], lpar=None, relative=[]) as old]
            ) if (
                isinstance(made, cst.ImportFrom)
                and not isinstance(made.names, cst.ImportStar)
                and _module_of(old) == _module_of(made)
            ):
                comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
                whole = [one.with_changes(comma=comma) for one in (*names, *made.names)]
                whole[-1] = whole[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
                body[n] = statement.with_changes(body=[old.with_changes(names=whole)])
                return True
            case _:
                pass
    return False


def _module_of(node: cst.ImportFrom) -> str:
    return "" if node.module is None else dotted_name(node.module)


def _insert(body: list[_Statement], line: str, plan: Plan) -> None:
    """Put an import behind the last one of its kind at the top: the standard library's, others', the project's."""
    made = cst.ensure_type(cst.parse_statement(line), cst.SimpleStatementLine)
    kind = _kind(line.split()[1], plan)
    end = _place(body)
    kinds = {n: found for n in range(end) if (found := _kind_of(body[n], plan)) is not None}
    form = type(made.body[0])  # `import` stands before `from`, as isort has it
    alike = [n for n, found in kinds.items() if found == kind and _has_form(body[n], form)]
    before = _sorted_place(body, alike, line.split()[1])
    if before is not None:
        follows = body[before]
        if isinstance(follows, cst.SimpleStatementLine):
            made = made.with_changes(leading_lines=follows.leading_lines)
            body[before] = follows.with_changes(leading_lines=())
        body.insert(before, made)
        return
    at = max((n + 1 for n, found in kinds.items() if found <= kind), default=min(kinds, default=end))
    blank = [cst.EmptyLine(indent=False)]
    behind = body[at] if at < len(body) else None
    if at in kinds and at == min(kinds) and isinstance(behind, cst.SimpleStatementLine):
        made = made.with_changes(leading_lines=behind.leading_lines)
        body[at] = behind.with_changes(leading_lines=blank)
    elif at and kinds.get(at - 1) != kind:
        made = made.with_changes(leading_lines=blank)
    if (
        at in kinds
        and kinds[at] != kind
        and isinstance(behind, cst.SimpleStatementLine)
        and not behind.leading_lines
    ):
        body[at] = behind.with_changes(leading_lines=blank)
    if isinstance(behind, cst.FunctionDef | cst.ClassDef) and not behind.leading_lines:
        body[at] = behind.with_changes(leading_lines=[*blank, *blank])
    body.insert(at, made)


def _sorted_place(body: list[_Statement], alike: list[int], name: str) -> int | None:
    """Return where an import stands by its name, among those of its kind that are sorted; None: behind them."""
    names = [_imported_name(body[n]) for n in alike]
    if names != sorted(names):
        return None
    for n, one in zip(alike, names, strict=True):
        commented = any(line.comment is not None for line in getattr(body[n], "leading_lines", ()))
        if one > name and not commented:
            return n
    return None


def _has_form(statement: cst.BaseStatement, form: type[cst.BaseSmallStatement]) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and isinstance(statement.body[0], form)


def _imported_name(statement: cst.BaseStatement) -> str:
    match statement:
        case cst.SimpleStatementLine(body=[cst.ImportFrom() as node, *_]):
            return "." * len(node.relative) + _module_of(node)
        case cst.SimpleStatementLine(body=[cst.Import(names=[alias, *_]), *_]):
            return alias.evaluated_name
        case _:
            return ""


def _kind_of(statement: cst.BaseStatement, plan: Plan) -> int | None:
    match statement:
        case cst.SimpleStatementLine(
            body=[cst.ImportFrom(module=None) | cst.ImportFrom(relative=[_, *_]), *_]
        ):
            return _PROJECT
        case cst.SimpleStatementLine(body=[cst.ImportFrom(module=cst.BaseExpression() as module), *_]):
            return _kind(dotted_name(module), plan)
        case cst.SimpleStatementLine(body=[cst.Import(names=[alias, *_]), *_]):
            return _kind(alias.evaluated_name, plan)
        case _:
            return None


def _kind(module: str, plan: Plan) -> int:
    first = module.partition(".")[0]
    if not first:
        return _PROJECT
    if first == _FUTURE:
        return _FIRST
    if first in sys.stdlib_module_names:
        return _STANDARD
    return _PROJECT if any(name.partition(".")[0] == first for name in plan.project.modules) else _OTHERS


def import_lines(needs: Mapping[str, Target], module: Module | None = None) -> list[str]:
    """Return the lines that import names: the standard library's, then Headway's, then the project's.

    Those of its own package a module imports relatively where it does so already.
    """
    by_module: dict[str, list[str]] = {}
    for local, target in needs.items():
        if target.attr is None:
            by_module.setdefault(f"import {target.module}", []).append(local)
        else:
            written = target.attr if local == target.attr else f"{target.attr} as {local}"
            by_module.setdefault(target.module, []).append(written)

    def rank(module: str) -> tuple[int, str]:
        headway = module.partition(".")[0] == "headway"
        standard = module in {"collections.abc", "contextvars", "typing", "urllib.parse"}
        return (0 if standard else 1 if headway else 2, module)

    lines: list[str] = []
    for name in sorted(by_module, key=rank):
        if name.startswith("import "):
            (local,) = by_module[name][:1]
            whole = name.removeprefix("import ")
            lines.append(name if local == whole.partition(".")[0] else f"{name} as {local}")
        else:
            names = ", ".join(sorted(by_module[name]))
            lines.append(f"from {relative(name, module)} import {names}")
    return lines


def relative(name: str, module: Module | None) -> str:
    """Return a module's name as another one imports it."""
    if module is None or not module.imports_relatively:
        return name
    here, there = module.package.split("."), name.split(".")
    same = next(
        (n for n, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1]),
        min(len(here), len(there)),
    )
    return "." * (len(here) - same + 1) + ".".join(there[same:]) if same else name


class _TakeOut(cst.CSTTransformer):
    """Takes names out of imports, and the imports that have none left."""

    def __init__(self, gone: set[str]) -> None:
        super().__init__()
        self._gone = gone

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.RemovalSentinel:
        if isinstance(updated_node.names, cst.ImportStar):
            return updated_node
        kept = self._kept(updated_node.names)
        return updated_node.with_changes(names=kept) if kept else cst.RemoveFromParent()

    def leave_Import(
        self, original_node: cst.Import, updated_node: cst.Import
    ) -> cst.Import | cst.RemovalSentinel:
        kept = self._kept(updated_node.names)
        return updated_node.with_changes(names=kept) if kept else cst.RemoveFromParent()

    def leave_If(self, original_node: cst.If, updated_node: cst.If) -> cst.If | cst.RemovalSentinel:
        """Take out `if TYPE_CHECKING:` when nothing is left below it."""
        empty = isinstance(updated_node.body, cst.IndentedBlock) and not updated_node.body.body
        had = isinstance(original_node.body, cst.IndentedBlock) and original_node.body.body
        if empty and had and updated_node.orelse is None:
            return cst.RemoveFromParent()
        return updated_node

    def _kept(self, names: Sequence[cst.ImportAlias]) -> list[cst.ImportAlias]:
        kept = [one for one in names if _local(one) not in self._gone]
        if kept and len(kept) < len(names):
            kept[-1] = kept[-1].with_changes(comma=names[-1].comma)
        return kept


def _local(alias: cst.ImportAlias) -> str:
    if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
        return alias.asname.name.value
    return alias.evaluated_name.partition(".")[0]


def _place(body: Sequence[cst.BaseStatement]) -> int:
    """Return where imports are added: behind the last of those at the top."""
    at = 0
    for n, statement in enumerate(body):
        match statement:
            case cst.SimpleStatementLine(body=[cst.Import() | cst.ImportFrom(), *_]):
                at = n + 1
            case cst.SimpleStatementLine(
                body=[cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString())]
            ) if n == 0:
                at = 1
            case cst.FunctionDef() | cst.ClassDef():
                break
            case _:
                pass
    return at
