"""The files of a project: found within bounds, read as what they say they are."""

from __future__ import annotations

import io
import os
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.migrate.rewrite.findings import Finding, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headway.migrate.rewrite.findings import Report

MAX_FILES: Final = 20_000
MAX_BYTES: Final = 2_000_000  # of one file: what is larger was written by a program
_PASSED_OVER: Final = frozenset(
    {"__pycache__", "node_modules", "site-packages", "venv", "env", "build", "dist", "htmlcov"}
)
_DOT_FOLDERS: Final = frozenset({".github", ".devcontainer", ".circleci"})


class Source(Struct, frozen=True):
    """A file as text. `name` is its path below the project's folder, with `/`."""

    path: Path
    name: str
    text: str
    encoding: str


def files_below(root: Path, report: Report) -> Iterator[tuple[Path, str]]:
    """Yield the files of a project with their names, in a fixed order; links and folders of tools are passed over.

    `root` may be a single file.
    """
    if root.is_file():
        yield root, root.name
        return
    seen = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(one for one in folders if _is_read(Path(folder) / one))
        for file in sorted(files):
            path = Path(folder) / file
            if path.is_symlink() or not path.is_file():
                continue
            seen += 1
            if seen > MAX_FILES:
                what = f"there are more than {MAX_FILES} files; the others were not read"
                report(Finding(".", 0, Kind.UNREAD, what, "name a smaller folder"))
                return
            yield path, path.relative_to(root).as_posix()


def read_python(path: Path, name: str, report: Report) -> Source | None:
    """Read a Python file in the encoding that it declares; None, with a finding, when that cannot be done."""
    data = _bytes(path, name, report)
    if data is None:
        return None
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return Source(path, name, data.decode(encoding), encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        report(Finding(name, 0, Kind.UNREAD, f"it is not text in its encoding: {error}", "save it as UTF-8"))
        return None


def read_text(path: Path, name: str, report: Report) -> Source | None:
    """Read a file as UTF-8; None when it is none."""
    data = _bytes(path, name, report)
    try:
        return None if data is None else Source(path, name, data.decode(), "utf-8")
    except UnicodeDecodeError:
        return None


def _is_read(folder: Path) -> bool:
    hidden = folder.name.startswith(".") and folder.name not in _DOT_FOLDERS
    virtual = (folder / "pyvenv.cfg").is_file()
    return not (hidden or virtual or folder.name in _PASSED_OVER or folder.is_symlink())


def _bytes(path: Path, name: str, report: Report) -> bytes | None:
    try:
        if path.stat().st_size > MAX_BYTES:
            report(
                Finding(name, 0, Kind.UNREAD, f"it is larger than {MAX_BYTES} bytes", "look at it yourself")
            )
            return None
        return path.read_bytes()
    except OSError as error:
        report(
            Finding(
                name, 0, Kind.UNREAD, f"it cannot be read: {error.strerror or error}", "look at it yourself"
            )
        )
        return None
