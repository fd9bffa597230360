"""The modules of the setting `include`, imported so that what they declare is there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable


def import_each(modules: Iterable[str]) -> None:
    """Import them; ConfigError names one that is not there, what a module itself raises gets a note that names it."""
    for module in modules:
        _import(module)


def _import(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            msg = f"include: there is no module {error.name!r} here or on the Python path"
            if error.name != module:
                msg = f"include: {module!r} cannot be imported: there is no module {error.name!r}"
            raise ConfigError(msg) from error
        error.add_note(f"raised while {module!r} was imported, which the setting include names")
        raise
    except BaseException as error:
        error.add_note(f"raised while {module!r} was imported, which the setting include names")
        raise
