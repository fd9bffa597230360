"""The parameters of a task's function: which arguments they take, by position and by name."""

from __future__ import annotations

from inspect import Parameter
from typing import TYPE_CHECKING, Any, Final

from headway.errors import ArgumentsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_POSITIONAL: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_NAMED: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_FURTHER: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Parameters:
    """Those that arguments are given for. `positional` and `by_name`: those that take one by position, or by name."""

    def __init__(self, task: str, parameters: Sequence[Parameter]) -> None:
        """`task` is named by errors."""
        self._task = task
        self.positional = [p.name for p in parameters if p.kind in _POSITIONAL]
        self.by_name = frozenset(p.name for p in parameters if p.kind in _NAMED)
        self._required = [p.name for p in parameters if p.default is p.empty and p.kind not in _FURTHER]
        self._varargs = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self._varkwargs = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self.needs_names = not set(self._required) <= set(self.positional)
        """Whether no call does by positions alone."""

    def at(self, place: int | str) -> str:
        """Name the parameter of the argument at this position or with this name; empty: there is none."""
        if isinstance(place, int):
            return self.positional[place] if place < len(self.positional) else self._varargs or ""
        return place if place in self.by_name else self._varkwargs or ""

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return arguments by the names of their parameters, whether they fit or not."""
        named = dict(zip(self.positional, args, strict=False))
        if len(args) > len(self.positional):
            named[f"*{self._varargs or 'args'}"] = list(args[len(self.positional) :])
        return {**named, **kwargs}

    def bind(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """ArgumentsError names the first argument that there is no parameter for, or the parameter that has none."""
        positional = self.positional
        given = len(args)
        if given > len(positional) and self._varargs is None:
            msg = f"task {self._task!r} takes {len(positional)} positional arguments, {given} were given"
            raise ArgumentsError(msg)
        for name in kwargs:
            if name in self.by_name:
                if name in positional[:given]:
                    msg = f"task {self._task!r}: argument {name!r} was given twice"
                    raise ArgumentsError(msg)
            elif self._varkwargs is None:
                msg = f"task {self._task!r} has no parameter {name!r}"
                raise ArgumentsError(msg)
        for name in self._required:
            # A positional-only name among the keywords goes to **kwargs, in Python as here.
            if name not in positional[:given] and not (name in kwargs and name in self.by_name):
                msg = f"task {self._task!r}: argument {name!r} is missing"
                raise ArgumentsError(msg)
