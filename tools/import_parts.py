"""An import contract by allow-list: each part of the package names the parts that it may import.

import-linter's own contracts list what is forbidden; here a new module falls under the rule of its part at once. One
that belongs to no part breaks the contract, and so does a part without modules. There are no exceptions.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grimp import DetailedImport, ImportGraph

ANYTHING: Final = "*"


class Part(NamedTuple):
    """Modules that match `pattern`, or lie below such a module, may import the parts `allowed`."""

    pattern: str
    allowed: tuple[str, ...]

    @classmethod
    def parse(cls, line: str) -> Part:
        """Read `pattern: allowed, allowed`; ValueError when there is no colon."""
        pattern, colon, allowed = line.partition(":")
        if not colon:
            msg = f"{line!r} must be 'part: part, part'"
            raise ValueError(msg)
        return cls(pattern.strip(), tuple(filter(None, (name.strip() for name in allowed.split(",")))))

    def root_of(self, module: str) -> str | None:
        """Return the ancestor of the module (or itself) that matches the pattern, or None.

        A `*` stands for one name, so that each driver below `headway.brokers.*` is a part of its own.
        """
        wanted = self.pattern.split(".")
        names = module.split(".")
        if len(names) < len(wanted) or not all(map(fnmatchcase, names, wanted)):
            return None
        return ".".join(names[: len(wanted)])


def part_of(module: str, parts: Iterable[Part], root: str) -> tuple[str, Part] | None:
    """Find the most specific part of a module, and the name that identifies it; None when it has none.

    The part named like the root package holds the modules directly in it; packages need a part of their own. What
    the root package itself shows to users falls under the part `root.__init__`, where there is one.
    """
    if module == root:
        module = f"{root}.__init__"
    found: list[tuple[tuple[int, bool], str, Part]] = []
    for part in parts:
        if part.pattern == root and module.count(".") > 1:
            continue
        name = part.root_of(module)
        if name is not None:
            found.append(((part.pattern.count("."), "*" not in part.pattern), name, part))
    if not found:
        return None
    _, name, part = max(found, key=lambda item: item[0])
    return name, part


class PartsContract(Contract):
    """Direct imports inside the package follow the list of parts; imports below TYPE_CHECKING count too."""

    type_name = "parts"

    root = fields.StringField()
    parts = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 - import-linter's
        """Compare each direct import with the list."""
        root = cast("str", self.root)
        parts = [Part.parse(line) for line in cast("list[str]", self.parts)]
        modules = sorted(name for name in graph.modules if name == root or name.startswith(f"{root}."))
        placed = {module: part_of(module, parts, root) for module in modules}
        broken: list[str] = [
            f"{module} belongs to no part" for module, part in placed.items() if part is None
        ]
        used = {own[1] for own in placed.values() if own is not None}
        broken += [f"part {part.pattern} has no modules" for part in parts if part not in used]
        for module, own in placed.items():
            for imported in sorted(graph.find_modules_directly_imported_by(module)):
                target = placed.get(imported)
                if own is None or target is None or own[0] == target[0]:
                    continue
                if not any(fnmatchcase(target[0], allowed) for allowed in own[1].allowed):
                    details = graph.get_import_details(importer=module, imported=imported)
                    broken.append(f"{module} must not import {imported} (line {_lines(details)})")
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import that is not allowed."""
        for line in cast("list[str]", check.metadata["broken"]):
            output.print_error(line)
        output.new_line()


def _lines(details: Iterable[DetailedImport]) -> str:
    return ", ".join(str(detail["line_number"]) for detail in details)
