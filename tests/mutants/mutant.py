"""What a mutant is: one small wrong change to the source, and where to look first for a test that notices it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from pathlib import Path

_TOP: Final = "src/headway"


class Edit(Struct, frozen=True):
    """In a file below src/headway, a text that occurs exactly once, and what stands there instead."""

    file: str
    find: str
    replace: str


class Mutant(Struct, frozen=True):
    """One change. `conformance` and `faults` name files of those folders, as pytest selects them."""

    name: str
    does: str  # what the changed source does
    edits: tuple[Edit, ...]
    carrier: str = ""  # whose code it is; empty: every carrier's
    conformance: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


class OutOfDateError(Exception):
    """The source has changed under a mutant."""


def mutated(mutant: Mutant, root: Path) -> dict[Path, str]:
    """Return the changed files by their place below `root`; OutOfDateError when the mutant does not fit any more."""
    texts: dict[Path, str] = {}
    for edit in mutant.edits:
        path = root / _TOP / edit.file
        text = texts.get(path) or (path.read_text(encoding="utf-8") if path.exists() else "")
        if text.count(edit.find) != 1:
            msg = f"{mutant.name}: {edit.file} has {text.count(edit.find)} times, not once: {edit.find!r}"
            raise OutOfDateError(msg)
        texts[path] = text.replace(edit.find, edit.replace)
    return texts


def mutant(
    name: str,
    does: str,
    *edits: tuple[str, str, str],
    carrier: str = "",
    conformance: str = "",
    faults: str = "",
) -> Mutant:
    """Write one down; files are separated by blanks."""
    return Mutant(
        name,
        does,
        tuple(Edit(*edit) for edit in edits),
        carrier,
        tuple(conformance.split()),
        tuple(faults.split()),
    )
