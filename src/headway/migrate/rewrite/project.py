"""All modules of a project: under which names they are imported, and what a name in one of them means."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

from headway.migrate.rewrite.findings import Finding, Kind
from headway.migrate.rewrite.modules import absolute, read_module

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from headway.migrate.rewrite.findings import Report
    from headway.migrate.rewrite.modules import Module
    from headway.migrate.rewrite.sources import Source

_DEPTH: Final = 8  # re-exports that are followed


class Ref(NamedTuple):
    """What a name means. `module` is None for what is defined outside of the project; `name` is dotted then."""

    module: Module | None
    name: str

    @property
    def arq(self) -> str:
        """The name in arq, without its module; empty: it is not arq's."""
        return self.name.rpartition(".")[2] if self.module is None and self.name.startswith("arq.") else ""


class Project:
    """The modules of a project by the names under which they import each other."""

    def __init__(self, modules: Mapping[str, Module], roots: Iterable[str] = ()) -> None:
        """Made by `read_project`. `roots` are the folders from which modules are imported, such as `src`."""
        self.modules = modules
        self._prefixes = [f"{root.replace('/', '.')}." for root in roots if root]

    def resolve(self, module: Module, dotted: str, depth: int = _DEPTH) -> Ref | None:
        """Say what a dotted name in a module means; None for what its scope alone knows."""
        first, _, rest = dotted.partition(".")
        target = module.imports.get(first)
        if target is not None:
            return self.find(".".join(filter(None, (target.dotted, rest))), depth)
        return Ref(module, dotted) if first in module.top else None

    def find(self, dotted: str, depth: int = _DEPTH) -> Ref:
        """Say what a whole name means."""
        parts = dotted.split(".")
        for n in range(len(parts), 0, -1):
            module = self.modules.get(".".join(parts[:n]))
            if module is None:
                continue
            inside = ".".join(parts[n:])
            if inside and parts[n] in module.imports and depth:
                return self.resolve(module, inside, depth - 1) or Ref(module, inside)
            return Ref(module, inside)
        for prefix in self._prefixes:
            if dotted.startswith(prefix) and depth:
                return self.find(dotted.removeprefix(prefix), depth - 1)
        return Ref(None, dotted)

    def needs(self, module: str, targets: Iterable[str]) -> set[str]:
        """Return the names of the modules that run when a module imports these whole names.

        The packages that it is in itself have begun before it, so they are none of them.
        """
        found: set[str] = set()
        begun = set(_prefixes(module))
        waiting = [name for target in targets for name in self.run_by(target)]
        while waiting:
            name = waiting.pop()
            if name in found or name in begun:
                continue
            found.add(name)
            waiting += [one for target in self.modules[name].at_import for one in self.run_by(target.dotted)]
        return found

    def run_by(self, dotted: str) -> list[str]:
        """Return the modules of the project that an import of this whole name runs, without what they import."""
        return [name for name in _prefixes(dotted) if name in self.modules]


def _prefixes(dotted: str) -> list[str]:
    parts = dotted.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts) + 1)]


def read_project(
    root: Path, sources: Iterable[Source], report: Report, run: Mapping[str, int] | None = None
) -> Project:
    """Parse the modules; those that cannot be parsed are reported and left out.

    `run` are names of modules as commands have them, with how much that says about the folders they are run in.
    """
    parsed: list[tuple[Source, ast.Module]] = []
    for source in sources:
        tree = _parsed(source, report)
        if tree is not None:
            parsed.append((source, tree))
    roots = _roots(root, parsed, run or {})
    modules: dict[str, Module] = {}
    for source, tree in parsed:
        name, is_package = _module_name(source.name, roots, _package_above(root))
        if name not in modules:
            modules[name] = read_module(source, tree, name, is_package=is_package)
    return Project(modules, roots)


def _parsed(source: Source, report: Report) -> ast.Module | None:
    try:
        return ast.parse(source.text)
    except SyntaxError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        what = f"it is no Python {version}: {error.msg}"
        report(
            Finding(source.name, error.lineno or 0, Kind.UNREAD, what, "mend it, or run with a newer Python")
        )
    except (ValueError, RecursionError, MemoryError) as error:
        report(Finding(source.name, 0, Kind.UNREAD, f"it cannot be parsed: {error}", "look at it yourself"))
    return None


def _package_above(root: Path) -> list[str]:
    """Return the packages that the project's folder itself is in, the outermost first."""
    folder = root.parent if root.is_file() else root
    names: list[str] = []
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return names


def _roots(root: Path, parsed: list[tuple[Source, ast.Module]], run: Mapping[str, int]) -> list[str]:
    """Return the folders from which modules are imported, the likeliest first, as their imports show them.

    A file `backend/shop/tasks.py` and an `import shop.tasks` somewhere mean that `backend` is one.
    """
    endings: dict[str, list[str]] = {}
    for source, _ in parsed:
        path = PurePosixPath(source.name)
        parts = path.parts[:-1] if path.name == "__init__.py" else (*path.parts[:-1], path.stem)
        for n in range(len(parts)):
            endings.setdefault(".".join(parts[n:]), []).append("/".join(parts[:n]))
    votes: Counter[str] = Counter()
    for name, weight in run.items():
        for folder in endings.get(name, ()):
            votes[folder] += weight
    for _, tree in parsed:
        for node in ast.walk(tree):
            match node:
                case ast.Import(names=names):
                    wanted = [alias.name for alias in names]
                case ast.ImportFrom(module=str(module), level=0, names=names):
                    base = absolute(module, 0, "")
                    wanted = [base, *(f"{base}.{alias.name}" for alias in names)]
                case _:
                    continue
            votes.update(folder for name in set(wanted) for folder in endings.get(name, ()))
    usual = ["src"] if (root / "src").is_dir() else []
    return [*(folder for folder, _ in votes.most_common()), *usual, ""]


def _module_name(file: str, roots: list[str], above: list[str]) -> tuple[str, bool]:
    path = PurePosixPath(file)
    is_package = path.name == "__init__.py"
    parts = list(path.parts[:-1]) if is_package else [*path.parts[:-1], path.stem]
    for root in roots:
        prefix = root.split("/") if root else []
        if parts[: len(prefix)] == prefix and len(parts) > len(prefix):
            inside = parts[len(prefix) :]
            return ".".join(inside if root else [*above, *inside]), is_package
    return ".".join([*above, *parts]) or "__init__", is_package
