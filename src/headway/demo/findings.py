"""What the jobs found out about the standard library, from their stored results."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from headway.codec import decode_result
from headway.demo.app import Census, analyse_file, census, sample
from headway.demo.source import FileFacts
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.job import JobRecord

_SHOWN = 5


class Findings(Struct, frozen=True):
    """Sums over all files. `digest` stands for all of their contents: equal trees have equal digests."""

    files: int
    unparsable: int
    bytes: int
    lines: int
    functions: int
    classes: int
    same_contents: int  # files whose contents another file has too
    digest: str
    longest: list[tuple[str, int]]  # files with the most lines
    most_imported: list[tuple[str, int]]  # modules, and how many files import them
    census: Census | None
    samples: int  # results of the scheduled job


def find(records: Sequence[JobRecord]) -> Findings:
    """Put the results of succeeded jobs together; CodecError when one is damaged."""
    done = [record for record in records if record.state is JobState.SUCCEEDED]
    facts: list[FileFacts] = [
        decode_result(record.result, FileFacts) for record in done if record.task == analyse_file.name
    ]
    counted: list[Census] = [
        decode_result(record.result, Census) for record in done if record.task == census.name
    ]
    contents = Counter(file.sha256 for file in facts)
    imported = Counter(module for file in facts for module in file.imports)
    longest = sorted(facts, key=_by_length)[:_SHOWN]
    return Findings(
        files=len(facts),
        unparsable=sum(not file.parsed for file in facts),
        bytes=sum(file.size for file in facts),
        lines=sum(file.lines for file in facts),
        functions=sum(file.functions for file in facts),
        classes=sum(file.classes for file in facts),
        same_contents=sum(count for count in contents.values() if count > 1),
        digest=_digest(facts),
        longest=[(file.path, file.lines) for file in longest],
        most_imported=sorted(imported.items(), key=_by_count)[:_SHOWN],
        census=counted[0] if counted else None,
        samples=sum(record.task == sample.name for record in done),
    )


def _by_length(file: FileFacts) -> tuple[int, str]:
    return -file.lines, file.path


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _digest(facts: Sequence[FileFacts]) -> str:

    lines = sorted(f"{file.path} {file.sha256}\n" for file in facts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
