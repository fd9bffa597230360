"""Which module runs when another one is imported, once the project is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.migrate.rewrite.home import still_imported

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from headway.migrate.rewrite.project import Project


class Imports:
    """The imports of the changed project. `declaring` are the modules that will import the app's."""

    def __init__(
        self,
        project: Project,
        removed: Mapping[str, set[str]],
        kept: Mapping[str, set[str]],
        home: str,
        declaring: Iterable[str],
    ) -> None:
        """Look at what is left of each module's imports."""
        self._edges: dict[str, set[str]] = {}
        declares = set(declaring)
        for name, module in project.modules.items():
            targets = still_imported(module, removed, kept)
            more = [home] if name in declares and name != home else []
            self._edges[name] = {one for target in (*targets, *more) for one in project.run_by(target)}

    def reaches(self, start: str, end: str) -> bool:
        """Tell whether importing one module runs the other one."""
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            name = waiting.pop()
            if name == end:
                return True
            if name not in seen:
                seen.add(name)
                waiting += self._edges.get(name, ())
        return False
