"""The annotations of a task's function, as far as they can be found out when it is declared."""

from __future__ import annotations

import inspect
import sys
from types import SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

from headway.app.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Type hints, each on its own: one name that only a type checker can see must not hide the others."""
    try:
        return _with_any(get_type_hints(function, include_extras=True))
    except Exception:  # noqa: BLE001, S110 - an annotation may raise anything; each is tried alone below
        pass
    inner = inspect.unwrap(function)
    scope = {**vars(sys.modules.get(inner.__module__, inspect)), "Context": Context}
    found: dict[str, Any] = {}
    for name, annotation in getattr(inner, "__annotations__", {}).items():
        try:
            found[name] = eval(annotation, scope) if isinstance(annotation, str) else annotation  # noqa: S307 - the author's own
        except Exception:  # noqa: BLE001 - unknown here: not checked at run time
            found[name] = Context if is_context(annotation) else Any
    return _with_any(found)


def sound_classes(kind: Any) -> frozenset[type] | None:  # noqa: ANN401 - any annotation
    """Return the classes whose values fit a declared result without a check; None: every value fits."""
    if kind is Any:
        return None
    alternatives: tuple[Any, ...] = get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)
    return frozenset(one for one in alternatives if isinstance(one, type) and get_origin(one) is None)


def without_extras(kind: Any) -> Any:  # noqa: ANN401 - any annotation
    """Return the type alone: constraints of a result are its handler's to keep."""
    return get_type_hints(SimpleNamespace(__annotations__={"return": kind}))["return"]


def _with_any(hints: dict[str, Any]) -> dict[str, Any]:
    return {name: Any if kind is object else kind for name, kind in hints.items()}


def is_context(annotation: object) -> bool:
    """Tell whether a parameter is annotated as the Context, also where only a type checker can see that name."""
    return annotation is Context or (
        isinstance(annotation, str) and annotation.rpartition(".")[2] == "Context"
    )
