"""Which names of a project stand for arq's pool."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from headway.migrate.rewrite.vocabulary import POOL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.migrate.rewrite.modules import Module
    from headway.migrate.rewrite.project import Project

SHARED: Final = 2
"""Parts of a dotted name that stand for the pool in other modules, too: `app.state.arq`."""


def pools_of(project: Project, modules: Iterable[Module]) -> dict[str, set[str]]:
    """Return the dotted names that stand for arq's pool, by module; "" has the ends of those that others reach."""
    found: dict[str, set[str]] = {"": set()}
    for module in modules:
        names = found.setdefault(module.name, set())
        for node in ast.walk(module.tree):
            match node:
                case (
                    ast.Assign(targets=[target, *_], value=value)
                    | ast.AnnAssign(target=target, value=ast.expr() as value)
                ):
                    inner = value.value if isinstance(value, ast.Await) else value
                    if isinstance(inner, ast.Call) and (
                        _means(project, module, inner.func, "create_pool")
                        or _answers_pool(project, module, inner.func)
                    ):
                        names.add(ast.unparse(target))
                    elif isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant):
                        names |= {ast.unparse(target)} if inner.slice.value == POOL else set()
                case ast.arg(arg=name, annotation=ast.expr() as annotation):
                    if _is_type_of_pool(project, module, annotation):
                        names.add(name)
                case _:
                    pass
        found[""] |= {".".join(name.split(".")[-SHARED:]) for name in names if name.count(".") >= SHARED}
    return found


def _answers_pool(project: Project, module: Module, called: ast.expr) -> bool:
    ref = (
        project.resolve(module, ast.unparse(called)) if isinstance(called, ast.Name | ast.Attribute) else None
    )
    if ref is None or ref.module is None:
        return False
    function = ref.module.function(ref.name)
    return (
        function is not None
        and function.returns is not None
        and _is_type_of_pool(project, ref.module, function.returns)
    )


def _is_type_of_pool(project: Project, module: Module, annotation: ast.expr) -> bool:
    parts = [one for one in ast.walk(annotation) if isinstance(one, ast.Name | ast.Attribute)]
    return any(_means(project, module, one, "ArqRedis") for one in parts)


def _means(project: Project, module: Module, node: ast.expr, name: str) -> bool:
    ref = project.resolve(module, ast.unparse(node)) if isinstance(node, ast.Name | ast.Attribute) else None
    return ref is not None and ref.arq == name
