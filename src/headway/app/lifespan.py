"""Resources: what each process that runs jobs opens once, such as a pool of connections, and its handlers share.

How they are opened and closed stands in `runtime/resources.py`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from headway.app.functions import qualified_name
from headway.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_HOW = "write a function that opens it, yields it once, and closes it behind the yield"


class Resource(Generic[T_co]):
    """A declared resource: the key under which handlers get what it yielded, `ctx.resource(db)`."""

    __slots__ = ("__weakref__", "fn", "is_async", "name", "takes_resources")

    def __init__(self, name: str, function: Callable[..., Any], *, takes_resources: bool) -> None:
        """Made by `@app.resource`."""
        self.name = name
        self.fn = function
        self.is_async = inspect.isasyncgenfunction(function)
        self.takes_resources = takes_resources

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Resource {self.name!r}>"


class Resources:
    """The open resources of one process: `resources[db]` is what `db` yielded.

    A resource whose function has a parameter gets it, and so uses those that are declared before it.
    """

    __slots__ = ("_app", "_declared", "_values")

    def __init__(self, app: str, declared: Mapping[str, Resource[Any]]) -> None:
        """Made by Headway: `declared` are those of the app of this name."""
        self._app = app
        self._declared = declared
        self._values: dict[Resource[Any], Any] = {}

    def __getitem__(self, resource: Resource[T]) -> T:
        """Return what the resource yielded; DeclarationError when it is not declared in this app, or not open."""
        try:
            value: T = self._values[resource]
        except (KeyError, TypeError):
            raise DeclarationError(self.absence(resource)) from None
        return value

    def __contains__(self, resource: object) -> bool:
        """Tell whether it is open."""
        return isinstance(resource, Resource) and resource in self._values

    def put(self, resource: Resource[T], value: T) -> None:
        """Make the yielded value available."""
        self._values[resource] = value

    def drop(self, resource: Resource[Any]) -> None:
        """Make it unavailable again."""
        self._values.pop(resource, None)

    def check(self, resource: object) -> None:
        """Raise DeclarationError when this is no resource of the app."""
        if not isinstance(resource, Resource) or self._declared.get(resource.name) is not resource:
            raise DeclarationError(self.absence(resource))

    def absence(self, resource: Any) -> str:  # noqa: ANN401 - whatever was given
        """Return the error for a resource that is not declared, or not open."""
        if not isinstance(resource, Resource):
            return f"{resource!r} is no resource: name what @app.resource stands on, as in ctx.resource(db)"
        if self._declared.get(resource.name) is not resource:
            return f"resource {resource.name!r} is not declared in app {self._app!r}, but in another one"
        return (
            f"resource {resource.name!r} is not open: it is opened in the order of declaration, so declare it before "
            "those that use it; two that use each other cannot be opened"
        )


def make_resource(function: Any) -> Resource[Any]:  # noqa: ANN401 - whatever stands below @app.resource
    """Make the resource of a generator function; DeclarationError says what to write instead."""
    shown: str = getattr(function, "__qualname__", repr(function))
    if not (inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)):
        inner = getattr(function, "__wrapped__", None)
        if inspect.isasyncgenfunction(inner) or inspect.isgeneratorfunction(inner):
            msg = f"@app.resource goes on the generator function {shown} itself, without another decorator below it"
        else:
            msg = f"@app.resource goes on a generator function, not on {shown}: {_HOW}"
        raise DeclarationError(msg)
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) > 1 or any(one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters):
        msg = (
            f"resource {shown} must take nothing, or the open resources as its one parameter: "
            f"def {getattr(function, '__name__', 'db')}(resources: Resources)"
        )
        raise DeclarationError(msg)
    return Resource(qualified_name(function), function, takes_resources=bool(parameters))
