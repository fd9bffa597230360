"""From `module:app` to the app."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from headway.app.app import Headway
from headway.errors import ConfigError

if TYPE_CHECKING:
    from typing import Any


def load_app(path: str) -> Headway:
    """Import the app that `module:name` (or `module:name.attribute`) names; ConfigError says what is wrong with it.

    The modules of its setting `include` are imported as well. The working directory is searched first, as with
    `python -m`. What a module itself raises passes through.
    """
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or module_name.startswith(".") or not attribute:
        msg = f"app {path!r}: write it as module:name, such as shop.jobs:app"
        raise ConfigError(msg)
    if os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path holds texts
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - as above
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise  # the module is there, one that it imports is not
        msg = f"app {path!r}: there is no module {error.name!r} here or on the Python path"
        raise ConfigError(msg) from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Headway):
        apps = sorted(
            name for name, value in vars(sys.modules[module_name]).items() if isinstance(value, Headway)
        )
        hint = f"; it has {', '.join(apps)}" if apps else ""
        msg = f"app {path!r}: {attribute!r} in {module_name!r} is not a Headway app{hint}"
        raise ConfigError(msg)
    return found.import_included()


def path_of(app: Headway) -> str | None:
    """Return a path under which another process can import the app; None for a script's or a local one."""
    for task in app.tasks.values():
        module = sys.modules.get(task.fn.__module__)
        if module is None or module.__name__ == "__main__":
            continue
        for name, value in vars(module).items():
            if value is app:
                return f"{module.__name__}:{name}"
    return None
