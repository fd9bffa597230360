"""Where the records of a test lie: in a PostgreSQL and in a SQLite file, one suite for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headway.job import JobId
from headway.records.writing import write
from headway.records.written import ExecutionRow, GroupRow, HappeningRow, JobRow, Rows, TermRow

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from headway.records import RecordStore
    from tests.servers import PostgresServer

PLACES = ("sqlite", "postgresql")


def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of the records; those of a PostgreSQL are told apart by the app's name."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'records.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url


class Writer:
    """Writes rows as a recorder does."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self.rows = Rows()

    def job(self, job_id: str, terms: tuple[int, ...] = (), **fields: Any) -> JobId:
        given: dict[str, Any] = {
            "carrier": "main",
            "state": "succeeded",
            "task": "send",
            "queue": "email",
        } | fields
        given.setdefault("first_carrier", given["carrier"])
        self.rows.jobs[job_id] = JobRow(id=job_id, **given)
        self.rows.terms += [TermRow(one, job_id) for one in terms]
        return JobId(job_id)

    def execution(self, job_id: str, epoch: int, **fields: Any) -> None:
        given: dict[str, Any] = {"carrier": "main"} | fields
        self.rows.executions[job_id, epoch] = ExecutionRow(job_id=job_id, epoch=epoch, **given)

    def happening(self, job_id: str, at_ms: int, kind: str, detail: str = "") -> None:
        self.rows.happenings.append(HappeningRow(job_id, at_ms, kind, "main", 1, None, detail))

    def group(self, fingerprint: str, **fields: Any) -> None:
        given: dict[str, Any] = {
            "type": "OSError",
            "place": "shop.py:send",
            "message": "no",
            "first_ms": 1,
            "last_ms": 1,
        } | fields
        self.rows.groups[fingerprint] = GroupRow(fingerprint=fingerprint, **given)

    async def write(self) -> None:
        async with self.store.writing() as connection:
            await write(connection, self.rows)
        self.rows = Rows()
