"""Values that can be known without running anything: numbers, texts, and sets of them."""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Constant: TypeAlias = "int | float | str | bytes | bool | list[Constant] | None"

_MOST: Final = 3_600  # numbers of a range: nothing that a schedule names has more
_DEPTH: Final = 12
_OPERATORS: Final[dict[type[ast.operator], Callable[[int | float, int | float], int | float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: operator.mod,
    ast.Div: lambda left, right: left / right,
}
_LARGEST: Final = 10**12


class NotConstantError(Exception):
    """The value is known only when the code runs."""


def constant(  # noqa: PLR0911 - one for each kind of expression
    node: ast.expr, names: Mapping[str, Constant] | None = None, depth: int = _DEPTH
) -> Constant:
    """Return the value of an expression; NotConstantError when it is none of these. Sets come as lists."""
    if not depth:
        raise NotConstantError
    known = names or {}
    match node:
        case ast.Constant(value=int() | float() | str() | bytes() | None as value):
            return value
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, known, depth)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _calculated(_number(left, known, depth), type(op), _number(right, known, depth))
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return [constant(item, known, depth - 1) for item in items]
        case ast.Call(func=ast.Name(id="range"), args=args, keywords=[]):
            return _range([_number(one, known, depth) for one in args])
        case ast.Call(
            func=ast.Name(id="set" | "list" | "tuple" | "frozenset" | "sorted"), args=[one], keywords=[]
        ):
            return _items(one, known, depth)
        case (
            ast.SetComp(
                elt=made, generators=[ast.comprehension(target=ast.Name(id=name), iter=source, ifs=[])]
            )
            | ast.ListComp(
                elt=made, generators=[ast.comprehension(target=ast.Name(id=name), iter=source, ifs=[])]
            )
            | ast.GeneratorExp(
                elt=made, generators=[ast.comprehension(target=ast.Name(id=name), iter=source, ifs=[])]
            )
        ):
            return [constant(made, {**known, name: item}, depth - 1) for item in _items(source, known, depth)]
        case _:
            raise NotConstantError


def is_literal(node: ast.expr) -> bool:
    """Tell whether the expression has no names in it, so that it means the same in every module."""
    return not any(
        isinstance(one, ast.Name | ast.Await | ast.Yield | ast.NamedExpr) for one in ast.walk(node)
    )


def _number(node: ast.expr, known: Mapping[str, Constant], depth: int) -> int | float:
    value = constant(node, known, depth - 1)
    if isinstance(value, int | float):
        return value
    raise NotConstantError


def _items(node: ast.expr, known: Mapping[str, Constant], depth: int) -> list[Constant]:
    value = constant(node, known, depth - 1)
    if isinstance(value, list):
        return value
    raise NotConstantError


def _calculated(left: float, op: type[ast.operator], right: float) -> int | float:
    try:
        value = _OPERATORS[op](left, right)
    except (ArithmeticError, ValueError) as error:
        raise NotConstantError from error
    if abs(value) > _LARGEST:
        raise NotConstantError
    return value


def _range(bounds: list[int | float]) -> list[Constant]:
    whole = [one for one in bounds if isinstance(one, int)]
    try:
        numbers = range(*whole)
    except (TypeError, ValueError) as error:
        raise NotConstantError from error
    if len(whole) != len(bounds) or len(numbers) > _MOST:
        raise NotConstantError
    return list(numbers)
