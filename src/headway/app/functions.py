"""What can be a task, and under which name: a function that any process finds again by importing its module."""

from __future__ import annotations

import functools
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MAIN: Final = frozenset({"__main__", "__mp_main__"})  # the second in processes that multiprocessing spawned
_NO_TASK: Final = "@app.task goes on a function, not on"


def check_function(function: Any, name: str | None) -> None:  # noqa: ANN401 - whatever stands below @app.task
    """Refuse what cannot be a task; DeclarationError says what to write instead. `name` is the one given, if any."""
    reason = _refusal(function, name)
    if reason:
        raise DeclarationError(reason)


def _refusal(function: Any, name: str | None) -> str:  # noqa: ANN401, PLR0911 - one for each kind
    if isinstance(function, staticmethod | classmethod):
        kind = "staticmethod" if isinstance(function, staticmethod) else "classmethod"
        return f"{_NO_TASK} a {kind}: move the function out of its class"
    if isinstance(function, functools.partial):
        return f"{_NO_TASK} {function!r}: write a def that calls it, or pass its arguments when you enqueue"
    if inspect.ismethod(function):
        return (
            f"{_NO_TASK} the method {function.__qualname__}: its object cannot travel with a job; write a "
            "function that takes what the object is made of"
        )
    if inspect.isclass(function):
        return f"{_NO_TASK} the class {function.__qualname__}: write a function that makes one"
    if not inspect.isroutine(function) or inspect.isbuiltin(function):
        return f"{_NO_TASK} {function!r}: write a def that calls it"
    shown: str = getattr(function, "__qualname__", repr(function))
    if _is_method(function, shown):
        return (
            f"{_NO_TASK} the method {shown}: nobody has its object when the job runs; write a function outside "
            "the class, which makes the object"
        )
    if shown.endswith("<lambda>") and name is None:
        return "a lambda has no name of its own: write a def, or give it one with name="
    return _refused_result(function, shown)


def _refused_result(function: Any, shown: str) -> str:  # noqa: ANN401 - a function of any kind
    inner = inspect.unwrap(function)
    if inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner):
        return f"{shown} is a generator function, which cannot be a task: return a list, or enqueue a job for each item"
    if inspect.iscoroutinefunction(inner) and not inspect.iscoroutinefunction(function):
        return (
            f"{shown} is a def around an async def: nobody would await what it returns. Make the wrapper an async "
            "def; if it runs the coroutine itself, write a def that calls it"
        )
    return ""


def _is_method(function: Any, qualified: str) -> bool:  # noqa: ANN401 - a function of any kind
    """Tell whether the function stands in a class and takes an object of it."""
    owner = qualified.rpartition(".")[0]
    if not owner or owner.endswith("<locals>"):
        return False
    try:
        first = next(iter(inspect.signature(function).parameters), "")
    except (TypeError, ValueError):
        return False
    return first in {"self", "cls"}


def qualified_name(function: Callable[..., Any]) -> str:
    """Name a function as a worker will find it, also when its module is the program that is being run.

    DeclarationError when it stands in a program without a file, which no worker can import.
    """
    module = getattr(function, "__module__", None) or "unknown"
    qualified = getattr(function, "__qualname__", repr(function))
    if module in _MAIN:
        main: dict[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
        spec, file = main.get("__spec__"), main.get("__file__")
        if spec is None and file is None:
            msg = f"{qualified} stands in no file, so no worker could find it by its module: give the task a name="
            raise DeclarationError(msg)
        module = spec.name if spec else _module_of(Path(file or ""))
    return f"{module}.{qualified}"


def _module_of(file: Path) -> str:
    """Name the module as it is imported, where its file is run as a script.

    A file in a package is imported by the package's name; one in another folder by the folder's name, below the
    nearest place where Python, or a worker started here, looks for modules.
    """
    file = file.resolve()
    folder = file.parent
    parts = [file.stem]
    while (folder / "__init__.py").is_file():
        parts.append(folder.name)
        folder = folder.parent
    if len(parts) == 1:
        parts += reversed(_folders_below_a_root(folder))
    return ".".join(reversed(parts))


def _folders_below_a_root(folder: Path) -> tuple[str, ...]:
    # The first entry of sys.path is the script's own folder, in which a worker need not look.
    roots = {Path.cwd(), *(Path(entry).resolve() for entry in sys.path[1:] if entry)}
    found = [
        folder.relative_to(root).parts
        for root in roots - {Path(folder.anchor)}
        if folder.is_relative_to(root)
    ]
    nearest = min(found, key=len, default=())
    return nearest if all(name.isidentifier() for name in nearest) else ()


def alias_hint(name: str, declared: Iterable[str]) -> str:
    """Say which task a job of an unknown one may be meant for: its module was imported under another name."""
    last = name.rpartition(".")[2]
    near = [one for one in declared if one.rpartition(".")[2] == last]
    return f"; if {near[0]!r} is meant, declare it with aliases=[{name!r}]" if len(near) == 1 else ""
