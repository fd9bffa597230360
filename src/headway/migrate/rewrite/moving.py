"""An expression of one module, written so that it means the same in another."""

from __future__ import annotations

import ast
import builtins
import copy
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from headway.migrate.rewrite.modules import Module, Target
    from headway.migrate.rewrite.workers import Given

_BUILTINS: Final = frozenset(dir(builtins))
_REPEATABLE: Final = frozenset(
    {"os.getenv", "os.environ.get", "environ.get", "getenv", "int", "float", "str", "bool", "timedelta"}
)
_DEPTH: Final = 5  # names that stand for expressions with names


class Moved(NamedTuple):
    """The source of an expression, and the imports that it needs there, by local name."""

    text: str
    imports: dict[str, Target]


def moved(given: Given, to: Module | None) -> Moved | None:
    """Write an expression for another module, None being one that is yet to be made; None when that cannot be done.

    Names are imported there as they are here; those of the top level are replaced by what they stand for.
    """
    if given.module is to:
        return Moved(given.text, {})
    imports: dict[str, Target] = {}
    replaced = _Replaced(given.module, to, imports, _DEPTH)
    node = replaced.visit(copy.deepcopy(given.node))
    if not replaced.is_known or not isinstance(node, ast.expr):
        return None
    return Moved(ast.unparse(node) if replaced.has_changed else given.text, imports)


class _Replaced(ast.NodeTransformer):
    """Puts what names of the top level stand for in their place, and finds out what is to be imported."""

    def __init__(self, here: Module, to: Module | None, imports: dict[str, Target], depth: int) -> None:
        self._here = here
        self._to = to
        self._imports = imports
        self._depth = depth
        self.is_known = True
        self.has_changed = False

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Import it, replace it, or leave it: it is a builtin."""
        target = self._here.imports.get(node.id)
        if target is not None and _is_free(node.id, target, self._to):
            self._imports[node.id] = target
            return node
        value = self._here.assigned(node.id)
        if value is None or not self._depth or not _is_repeatable(value):
            self.is_known &= node.id in _BUILTINS and target is None and node.id not in self._here.top
            return node
        inner = _Replaced(self._here, self._to, self._imports, self._depth - 1)
        made = inner.visit(copy.deepcopy(value))
        self.is_known &= inner.is_known and isinstance(made, ast.expr)
        self.has_changed = True
        return made if isinstance(made, ast.expr) else node


def _is_repeatable(node: ast.expr) -> bool:
    """Tell whether an expression may be evaluated in another place as well: it calls nothing that does something."""
    calls = [ast.unparse(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)]
    waits = any(
        isinstance(one, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr) for one in ast.walk(node)
    )
    return not waits and all(one in _REPEATABLE for one in calls)


def _is_free(name: str, target: Target, to: Module | None) -> bool:
    return to is None or (
        to.imports.get(name, target) == target and (name in to.imports or name not in to.bound)
    )
