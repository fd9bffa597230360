"""The whole of it: from a folder with a Node program to `tasks.py` and `map.toml`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.migrate.node.reading import read_declarations
from headway.migrate.node.stubs import make_stubs, map_text, tasks_text
from headway.migrate.rewrite.changes import Change, Rewriting
from headway.migrate.rewrite.findings import Finding, Kind
from headway.migrate.rewrite.sources import files_below, read_text

if TYPE_CHECKING:
    from pathlib import Path

    from headway.migrate.node.sampling import Sample

_SUFFIXES: Final = frozenset({".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs"})
_TASKS: Final = "tasks.py"
_MAP: Final = "map.toml"
_NAMES: Final = ("Queue", "Worker", "Flow", "Bull", "JobScheduler", "repeat", ".add(", ".process(")


def read_node(system: str, root: Path, into: Path, sampled: Sample | None) -> Rewriting:
    """Read the sources below a folder, and say what would be written into another one. Nothing is written or run."""
    findings: set[Finding] = set()
    report = findings.add
    sources = [
        source
        for path, name in files_below(root, report)
        if path.suffix in _SUFFIXES and not name.endswith((".d.ts", ".min.js"))
        if (source := read_text(path, name, report)) is not None and any(one in source.text for one in _NAMES)
    ]
    stubs = make_stubs(read_declarations(sources, report), sampled)
    if not stubs:
        what = "no queue was found in the code" + ("" if sampled else "; --source looks into the Redis")
        return Rewriting(
            [], sorted({*findings, Finding(".", 0, Kind.HAND, what, "name the folder with the queues")})
        )
    for one in stubs:
        if one.name == "*":
            what = f"queue {one.queue!r}: no name of a job was seen, so one task takes them all"
            report(Finding(".", 0, Kind.CHECK, what, "sample its jobs with --source"))
        elif not one.samples and one.fields is None:
            what = f"{one.queue}/{one.name}: no payload was seen, so the task takes all of it as one argument"
            report(
                Finding(".", 0, Kind.CHECK, what, "sample its jobs with --source, or write the parameters")
            )
    folder = (root.parent if root.is_file() else root).resolve()
    texts = {_TASKS: tasks_text(system, folder.name or "app", stubs), _MAP: map_text(system, stubs)}
    changes: list[Change] = []
    for name, text in texts.items():
        path = into / name
        if not path.exists():
            changes.append(Change(path, name, "", text, is_new=True))
        elif path.read_bytes() != text.encode():
            what = "it is there already, with another text, and is not written over"
            report(Finding(name, 0, Kind.HAND, what, "name another folder with --into, and compare"))
    return Rewriting(changes, sorted(findings), "tasks:app", sorted(one.task for one in stubs))
