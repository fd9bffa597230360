"""One module of the project: what it imports, binds and defines."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headway.migrate.rewrite.sources import Source

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Target(NamedTuple):
    """What an import binds: a module, or a name in it."""

    module: str
    attr: str | None

    @property
    def dotted(self) -> str:
        """The whole name."""
        return self.module if self.attr is None else f"{self.module}.{self.attr}"


@dataclass(slots=True)
class Module:
    """What is known of a module without running it.

    `top` has the statements of its top level by the names that they bind; a name bound twice has two. `bound` are the
    names that are bound anywhere in it, in whatever scope. `at_import` are the imports that run when it is imported.
    """

    source: Source
    tree: ast.Module
    name: str
    is_package: bool
    imports: dict[str, Target] = field(default_factory=dict)
    top: dict[str, list[ast.stmt]] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)
    at_import: list[Target] = field(default_factory=list)
    imports_relatively: bool = False

    @property
    def package(self) -> str:
        """The package from which its relative imports count."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @property
    def file(self) -> str:
        """Its path below the project's folder."""
        return self.source.name

    def function(self, name: str) -> Function | None:
        """Return the function of the top level with this name, the last one where there are several."""
        for statement in reversed(self.top.get(name, [])):
            if isinstance(statement, Function):
                return statement
        return None

    def assigned(self, name: str) -> ast.expr | None:
        """Return the value of a name that the top level assigns once, and nothing else."""
        match self.top.get(name, []):
            case [ast.Assign(targets=[ast.Name()], value=value)]:
                return value
            case [ast.AnnAssign(value=ast.expr() as value)]:
                return value
            case _:
                return None

    def text(self, node: ast.expr) -> str:
        """Return the source of an expression."""
        return ast.get_source_segment(self.source.text, node) or ast.unparse(node)


def read_module(source: Source, tree: ast.Module, name: str, *, is_package: bool) -> Module:
    """Gather what is known of a module."""
    module = Module(source, tree, name, is_package)
    for statement in tree.body:
        for bound in _bound_by(statement):
            module.top.setdefault(bound, []).append(statement)
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                module.imports_relatively |= isinstance(node, ast.ImportFrom) and node.level > 0
                for local, target in imported(node, module.package):
                    module.imports.setdefault(local, target)
                    module.bound.add(local)
            case ast.Name(id=bound, ctx=ast.Store()):
                module.bound.add(bound)
            case ast.FunctionDef(name=bound) | ast.AsyncFunctionDef(name=bound) | ast.ClassDef(name=bound):
                module.bound.add(bound)
            case ast.arg(arg=bound) | ast.ExceptHandler(name=str(bound)) | ast.MatchAs(name=str(bound)):
                module.bound.add(bound)
            case _:
                pass
    module.at_import = [
        target for node in run_at_import(tree.body) for _, target in imported(node, module.package)
    ]
    return module


def imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, Target]]:
    """Yield the local names that an import binds, and to what."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                yield alias.asname, Target(alias.name, None)
            else:
                yield alias.name.partition(".")[0], Target(alias.name.partition(".")[0], None)
        return
    base = absolute(node.module or "", node.level, package)
    for alias in node.names:
        yield alias.asname or alias.name, Target(base, alias.name)


def absolute(module: str, level: int, package: str) -> str:
    """Return the whole name of a module that is imported from a package by so many dots."""
    if not level:
        return module
    parts = package.split(".") if package else []
    above = parts[: len(parts) - (level - 1)] if level > 1 else parts
    return ".".join([*above, module] if module else above)


def run_at_import(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that run when the module is imported: not those in functions, nor those for type checkers."""
    for statement in body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                yield statement
            case ast.If(test=test, body=then, orelse=other):
                if "TYPE_CHECKING" not in ast.unparse(test):
                    yield from run_at_import(then)
                yield from run_at_import(other)
            case ast.Try(body=then, handlers=handlers, orelse=other):
                yield from run_at_import(
                    [*then, *(one for handler in handlers for one in handler.body), *other]
                )
            case ast.With(body=then) | ast.ClassDef(body=then):
                yield from run_at_import(then)
            case _:
                pass


def _bound_by(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Import() | ast.ImportFrom():
            for alias in statement.names:
                yield alias.asname or alias.name.partition(".")[0]
        case _:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
