"""Records: what became of each job, kept in PostgreSQL or SQLite and found again; `docs/how-to/records.md`.

`store` is opened, searched and read; `recorder` follows what happens on the carriers of an app and writes it there.
"""

from __future__ import annotations

from headway.records.following import Told
from headway.records.query import RecordQuery
from headway.records.recorder import Recorder
from headway.records.store import RecordStore
from headway.records.values import (
    Count,
    ErrorGroup,
    Execution,
    FeedState,
    Happening,
    RecordedJob,
    RecordedLine,
    RecordPage,
    Timeline,
)

__all__ = [
    "Count",
    "ErrorGroup",
    "Execution",
    "FeedState",
    "Happening",
    "RecordPage",
    "RecordQuery",
    "RecordStore",
    "RecordedJob",
    "RecordedLine",
    "Recorder",
    "Timeline",
    "Told",
]
