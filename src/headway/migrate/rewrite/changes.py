"""What files become: as a diff, and written."""

from __future__ import annotations

import difflib
import os
import tempfile
from pathlib import Path

from msgspec import Struct

from headway.migrate.rewrite.findings import Finding, Kind


class Change(Struct, frozen=True):
    """A file that becomes another text. `before` is empty, and `is_new` set, where there was none."""

    path: Path
    file: str
    before: str
    after: str
    encoding: str = "utf-8"
    is_new: bool = False

    @property
    def diff(self) -> str:
        """The unified diff."""
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            "/dev/null" if self.is_new else f"a/{self.file}",
            f"b/{self.file}",
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        )


class Rewriting(Struct, frozen=True):
    """What files become, in the order of their names, and what is left."""

    changes: list[Change]
    findings: list[Finding]
    app: str = ""
    tasks: list[str] = []


def write(changes: list[Change]) -> list[Finding]:
    """Write files in one step each, keeping their permissions; return those that could not be written."""
    failed: list[Finding] = []
    for change in changes:
        try:
            _replace(change.path, change.after.encode(change.encoding))
        except (OSError, UnicodeEncodeError) as error:
            failed.append(
                Finding(change.file, 0, Kind.UNREAD, f"it cannot be written: {error}", "run this again")
            )
    return failed


def _replace(path: Path, data: bytes) -> None:
    descriptor, made = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        mode = path.stat().st_mode if path.exists() else 0o644
        Path(made).chmod(mode & 0o7777)
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise
