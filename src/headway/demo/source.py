"""The work of the demo: one Python source file, counted and hashed."""

from __future__ import annotations

import ast
import hashlib
import os
import sysconfig
import warnings
from pathlib import Path
from typing import Final

from msgspec import Struct

OUTSIDE: Final = frozenset({"site-packages", "dist-packages", "__pycache__"})


class FileFacts(Struct, frozen=True):
    """What was found in a source file. `parsed` is false for those that are wrong on purpose, such as test data."""

    path: str  # below the standard library
    size: int  # bytes
    sha256: str
    parsed: bool
    lines: int = 0
    functions: int = 0
    classes: int = 0
    imports: list[str] = []  # modules, without those below them


def library() -> Path:
    """Where the interpreter's standard library is."""
    return Path(sysconfig.get_path("stdlib"))


def source_files() -> list[str]:
    """Return every Python source file of the standard library, as paths below it, sorted."""
    root = library()
    found: list[str] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in OUTSIDE]
        found += [str((Path(folder) / name).relative_to(root)) for name in files if name.endswith(".py")]
    return sorted(found)


def analyse(path: str) -> FileFacts:
    """Read, hash, parse and count one file of the standard library."""
    source = (library() / path).read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in old test files
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return FileFacts(path, len(source), digest, parsed=False)
    functions = classes = 0
    imports: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                functions += 1
            case ast.ClassDef():
                classes += 1
            case ast.Import():
                imports.update(alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(module=str(module), level=0):
                imports.add(module.partition(".")[0])
            case _:
                pass
    return FileFacts(
        path,
        len(source),
        digest,
        parsed=True,
        lines=source.count(b"\n") + 1,
        functions=functions,
        classes=classes,
        imports=sorted(imports),
    )
