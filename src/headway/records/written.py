"""Rows on their way into the tables: as structs, which become JSON at no cost worth naming.

What has its default is not written into that JSON: most of a row says nothing, and a database reads each word of it.
"""

from __future__ import annotations

from msgspec import Struct, field


class JobRow(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A row of JOB. Without a task only what events tell is known, and the rest stays as it is."""

    id: str
    carrier: str
    state: str
    task: str = ""
    queue: str = ""
    priority: int = 0
    attempt: int = 0
    epoch: int = 0
    crashes: int = 0
    due_ms: int | None = None
    expires_ms: int | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    removed_ms: int | None = None
    worker: str | None = None
    key: str | None = None
    reason: str = ""
    progress: float | None = None
    progress_message: str = ""
    arguments: str | None = None
    headers: str | None = None
    tags: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_group: str | None = None
    route_version: int | None = None
    first_carrier: str = ""
    logs: str | None = None


class ExecutionRow(Struct, kw_only=True, omit_defaults=True, gc=False):
    """A row of EXECUTION."""

    job_id: str
    epoch: int
    carrier: str
    attempt: int = 0
    worker: str | None = None
    due_ms: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    outcome: str | None = None
    superseded_ms: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    error_traceback: str | None = None
    error_group: str | None = None


class HappeningRow(Struct, frozen=True, omit_defaults=True, gc=False):
    """A row of HAPPENING."""

    job_id: str
    at_ms: int
    kind: str
    carrier: str
    epoch: int
    worker: str | None = None
    detail: str = ""


class TermRow(Struct, frozen=True, omit_defaults=True, gc=False):
    """A row of TERM."""

    term: int
    job_id: str


class GroupRow(Struct, kw_only=True, gc=False):
    """A row of ERROR_GROUP."""

    fingerprint: str
    type: str
    place: str
    message: str
    first_ms: int
    last_ms: int


class Rows(Struct):
    """What is written in one transaction; each key once."""

    jobs: dict[str, JobRow] = field(default_factory=dict)
    executions: dict[tuple[str, int], ExecutionRow] = field(default_factory=dict)
    happenings: list[HappeningRow] = field(default_factory=list)
    terms: list[TermRow] = field(default_factory=list)
    groups: dict[str, GroupRow] = field(default_factory=dict)
