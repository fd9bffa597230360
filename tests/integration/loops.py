"""The loops of the source, found by reading it; see test_loops."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import headway

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(headway.__file__).parent
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def services() -> frozenset[tuple[str, str]]:
    """Return module and name of every loop that is run through headway.service; all of the source is read for it."""
    found: set[tuple[str, str]] = set()
    for module, tree in _modules():
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=owner, attr="start" | "watch"),
                    args=[ast.Constant(value=str(name)), *_],
                ) if ast.unparse(owner).rpartition(".")[2].endswith("services"):
                    found.add((module, name))
                case _:
                    pass
    return frozenset(found)


def endless() -> set[str]:
    """Return where coroutines go round without an end of their own."""
    return {
        f"{module}:{name}"
        for module, name, function in _functions()
        if isinstance(function, ast.AsyncFunctionDef) and not _yields(function)
        for node in _own(function)
        if isinstance(node, ast.While) and _lasts(node) and any(map(_waits, _own(node)))
    }


def threads() -> set[str]:
    """Return where threads are started."""
    return {
        f"{module}:{name}"
        for module, name, function in _functions()
        for node in _own(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Thread")
    }


def _lasts(loop: ast.While) -> bool:
    """Tell whether a loop ends at most because somebody closes its owner."""
    match loop.test:
        case ast.Constant(value=True):
            pass
        case ast.UnaryOp(op=ast.Not(), operand=operand) if "self._" in ast.unparse(operand):
            pass
        case _:
            return False
    return not any(_leaves(node) for node in _own(loop))


def _leaves(node: ast.AST) -> bool:
    return isinstance(node, ast.Return | ast.Break)


def _waits(node: ast.AST) -> bool:
    return isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)


def _yields(function: ast.AsyncFunctionDef) -> bool:
    """Tell whether it is a stream: whoever reads it meets its errors."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own(function))


def _own(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (*_FUNCTIONS, ast.Lambda, ast.ClassDef)):
            yield child
            yield from _own(child)


def _functions() -> Iterator[tuple[str, str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    def inside(node: ast.AST, name: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (*_FUNCTIONS, ast.ClassDef)):
                full = f"{name}.{child.name}".lstrip(".")
                if isinstance(child, _FUNCTIONS):
                    yield full, child
                yield from inside(child, full)
            else:
                yield from inside(child, name)

    for module, tree in _modules():
        for name, function in inside(tree, ""):
            yield module, name, function


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield str(path.relative_to(ROOT).with_suffix("")).replace("/", "."), ast.parse(path.read_text())
