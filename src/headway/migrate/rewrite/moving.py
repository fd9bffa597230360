"""An expression of one module, written so that it means the same in another."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.migrate.rewrite.constants import is_literal

if TYPE_CHECKING:
    from headway.migrate.rewrite.modules import Module, Target
    from headway.migrate.rewrite.workers import Given

_BUILTINS: Final = frozenset(dir(builtins))


class Moved(NamedTuple):
    """The source of an expression, and the imports that it needs there, by local name."""

    text: str
    imports: dict[str, Target]


def moved(given: Given, to: Module | None) -> Moved | None:
    """Write an expression for another module, None being one that is yet to be made; None when that cannot be done.

    Names are imported there as they are here; those of the top level that stand for a literal are replaced by it.
    """
    text = given.text
    if given.module is to:
        return Moved(text, {})
    imports: dict[str, Target] = {}
    replaced: list[tuple[ast.Name, str]] = []
    for node in ast.walk(given.node):
        if not isinstance(node, ast.Name):
            continue
        target = given.module.imports.get(node.id)
        value = given.module.assigned(node.id)
        if target is not None and _is_free(node.id, target, to):
            imports[node.id] = target
        elif value is not None and is_literal(value):
            replaced.append((node, given.module.text(value)))
        elif node.id in given.module.top or target is not None or node.id not in _BUILTINS:
            return None
    for node, literal in sorted(replaced, key=lambda one: one[0].col_offset, reverse=True):
        if given.node.lineno != given.node.end_lineno:
            return None
        start = node.col_offset - given.node.col_offset
        text = f"{text[:start]}{literal}{text[start + len(node.id) :]}"
    return Moved(text, imports)


def _is_free(name: str, target: Target, to: Module | None) -> bool:
    return to is None or (
        to.imports.get(name, target) == target and (name in to.imports or name not in to.bound)
    )
