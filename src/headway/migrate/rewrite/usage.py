"""Which names of a module are used: those that it imports, and those of arq's that are left."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from headway.migrate.rewrite.modules import imported

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.migrate.rewrite.modules import Module, Target
    from headway.migrate.rewrite.plan import Plan


def unused_imports(plan: Plan, module: Module, after: set[str], needs: Mapping[str, Target]) -> set[str]:
    """Return the imported names that were used and are not any more; all of arq's that are not used."""
    before = used_names(module.tree)
    others = {
        target.attr
        for one in plan.project.modules.values()
        if one is not module
        for target in one.imports.values()
        if target.module == module.name
    }
    gone: set[str] = set()
    for local, target in module.imports.items():
        arqs = target.module.partition(".")[0] == "arq"
        if (local in after and not (arqs and local in needs)) or local in others:
            continue
        if arqs or (local in before and not module.is_package):
            gone.add(local)
    return gone


def used_names(tree: ast.Module) -> set[str]:
    """Return the names that a module uses, those in `__all__` and in quoted annotations among them."""
    names = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id="__all__")], value=ast.List(elts=items) | ast.Tuple(elts=items)
            ):
                names |= {
                    one.value for one in items if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
            case ast.arg(annotation=ast.expr() as quoted) | ast.AnnAssign(annotation=quoted):
                names |= _quoted(quoted)
            case (
                ast.FunctionDef(returns=ast.expr() as quoted)
                | ast.AsyncFunctionDef(returns=ast.expr() as quoted)
            ):
                names |= _quoted(quoted)
            case _:
                pass
    return names


def _quoted(annotation: ast.expr) -> set[str]:
    """Return the names in an annotation that is written as a text."""
    found: set[str] = set()
    for node in ast.walk(annotation):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                inner = ast.parse(node.value, mode="eval")
            except (SyntaxError, ValueError):
                continue
            found |= {one.id for one in ast.walk(inner) if isinstance(one, ast.Name)}
    return found


def still_arq(module: Module, code: str) -> list[str]:
    """Return the names of arq that a changed module still imports."""
    tree = ast.parse(code)
    return sorted(
        local
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for local, target in imported(node, module.package)
        if target.module.partition(".")[0] == "arq"
    )
