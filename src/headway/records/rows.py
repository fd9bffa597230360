"""Rows of the tables as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from headway.job import JobId
from headway.records.tables import EXECUTION, JOB
from headway.records.values import Execution, RecordedJob, RecordedLine

if TYPE_CHECKING:
    from collections.abc import Sequence

JOB_COLUMNS: Final = tuple(JOB.c[name] for name in RecordedJob.__struct_fields__)
EXECUTION_COLUMNS: Final = tuple(EXECUTION.c[name] for name in Execution.__struct_fields__)
_ARGUMENTS: Final = RecordedJob.__struct_fields__.index("arguments")
_HEADERS: Final = RecordedJob.__struct_fields__.index("headers")
_TAGS: Final = RecordedJob.__struct_fields__.index("tags")
_read_arguments: Final = msgspec.json.Decoder(dict[str, Any]).decode
_read_headers: Final = msgspec.json.Decoder(dict[str, str]).decode
_read_tags: Final = msgspec.json.Decoder(tuple[str, ...]).decode
_read_lines: Final = msgspec.json.Decoder(tuple[RecordedLine, ...]).decode


def recorded_job(row: Sequence[Any]) -> RecordedJob:
    """Return a row that begins with JOB_COLUMNS as a job."""
    values: list[Any] = list(row)[: len(JOB_COLUMNS)]
    values[_ARGUMENTS] = None if values[_ARGUMENTS] is None else _read_arguments(values[_ARGUMENTS])
    values[_HEADERS] = {} if values[_HEADERS] is None else _read_headers(values[_HEADERS])
    values[_TAGS] = () if values[_TAGS] is None else _read_tags(values[_TAGS])
    return RecordedJob(**dict(zip(RecordedJob.__struct_fields__, values, strict=True)))


def execution(row: Sequence[Any]) -> Execution:
    """Return a row of EXECUTION_COLUMNS as an execution."""
    values: dict[str, Any] = dict(zip(Execution.__struct_fields__, row, strict=True))
    values["job_id"] = JobId(values["job_id"])
    return Execution(**values)


def lines(text: str | None) -> tuple[RecordedLine, ...]:
    """Return a job's log."""
    return () if text is None else _read_lines(text)
