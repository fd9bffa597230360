"""The records of an app: opened, searched, read. What writes them is the recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from sqlalchemy import func, select

from headway.errors import ConfigError
from headway.records import upgrade as versions
from headway.records.connection import open_engine, transaction
from headway.records.query import RecordQuery, count_statement, cursor_of, ids_in, page_by_id, page_statement
from headway.records.rows import EXECUTION_COLUMNS, JOB_COLUMNS, execution, lines, recorded_job
from headway.records.tables import DEAD, ERROR_GROUP, EXECUTION, FEED, HAPPENING, JOB, NOTE
from headway.records.timeline import timeline
from headway.records.url import parse
from headway.records.values import Count, ErrorGroup, FeedState, RecordedJob, RecordPage, Timeline
from headway.records.writing import insert_once

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from headway.job import JobId
    from headway.records.upgrade import Upgraded

COUNTED: Final = 10_000
"""Up to how many jobs are counted unless more is asked for: counting costs time for each."""
_OWNER: Final = "namespace"
_MAX_HAPPENINGS: Final = 2000


class RecordStore:
    """The records of one app in one database. An async context manager.

    Every call raises RecordsUnavailableError when the database does not answer.
    """

    def __init__(self, url: str, *, namespace: str) -> None:
        """Read the URL, the setting `records`; ConfigError. Nothing is connected yet."""
        self.place = parse(url, namespace)
        self._namespace = namespace
        self._engine: AsyncEngine | None = None

    # --- open and close -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect; ConfigError when the tables are missing, of another version, or another app's."""
        engine = self._engine = self._engine or open_engine(self.place)
        try:
            async with transaction(engine, self.place.name, writing=False) as connection:
                await connection.run_sync(versions.check, self.place.schema, self.place.name)
                owner = await connection.scalar(select(NOTE.c.value).where(NOTE.c.name == _OWNER))
            self._check_owner(owner)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all connections."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def upgrade(self) -> Upgraded:
        """Bring the tables to the version that this Headway needs; for a store that is not open."""
        engine = open_engine(self.place)
        try:
            async with transaction(engine, self.place.name, writing=True) as connection:
                done = await connection.run_sync(versions.upgrade, self.place.schema)
                await connection.execute(
                    insert_once(connection, NOTE, {"name": _OWNER, "value": self._namespace})
                )
                self._check_owner(await connection.scalar(select(NOTE.c.value).where(NOTE.c.name == _OWNER)))
        finally:
            await engine.dispose()
        return done

    def _check_owner(self, owner: str | None) -> None:
        if owner != self._namespace:
            msg = f"the records in {self.place.name} are those of app {owner!r}: name another file or schema"
            raise ConfigError(msg)

    # --- reading ------------------------------------------------------------------------------------------------

    async def search(self, query: RecordQuery, *, after: str | None = None, limit: int = 100) -> RecordPage:
        """Return matching jobs, in the order that `RecordQuery` says; `after` is the cursor of the page before.

        ConfigError names a condition, limit or cursor that cannot be.
        """
        statement = page_statement(query, JOB_COLUMNS, after, limit)
        async with self.reading() as connection:
            rows = (await connection.execute(statement)).all()
        jobs = tuple(recorded_job(row) for row in rows)
        cursor = cursor_of(query, jobs[-1].id, jobs[-1].finished_ms) if len(jobs) == limit else None
        return RecordPage(jobs, cursor)

    async def ids(self, query: RecordQuery, *, after: str | None = None, limit: int = 1000) -> list[JobId]:
        """Return only the ids of matching jobs, always the latest enqueued first; give back the last as `after`."""
        async with self.reading() as connection:
            return list(await connection.scalars(page_by_id(query, (JOB.c.id,), after, limit)))

    async def count(self, query: RecordQuery, *, most: int = COUNTED) -> Count:
        """Count matching jobs, up to `most`."""
        async with self.reading() as connection:
            number: int = await connection.scalar(count_statement(query, most + 1)) or 0
        return Count(min(number, most), number > most)

    async def get(self, ids: Sequence[JobId]) -> list[RecordedJob | None]:
        """Return the jobs, in the order of the ids; None for one that is not recorded."""
        wanted = ids_in(RecordQuery(ids=tuple(ids)))
        async with self.reading() as connection:
            rows = (await connection.execute(select(*JOB_COLUMNS).where(JOB.c.id.in_(wanted)))).all()
        found = {job.id: job for job in map(recorded_job, rows)}
        return [found.get(one) for one in ids]

    async def timeline(self, job_id: JobId) -> Timeline | None:
        """Return all that is recorded of one job; None when it is not recorded."""
        async with self.reading() as connection:
            row = (
                await connection.execute(
                    select(*JOB_COLUMNS, JOB.c.logs, JOB.c.first_carrier).where(JOB.c.id == job_id)
                )
            ).one_or_none()
            if row is None:
                return None
            ran = await connection.execute(
                select(*EXECUTION_COLUMNS)
                .where(EXECUTION.c.job_id == job_id)
                .order_by(EXECUTION.c.epoch)
                .limit(_MAX_HAPPENINGS)
            )
            told = await connection.execute(
                select(HAPPENING)
                .where(HAPPENING.c.job_id == job_id)
                .order_by(HAPPENING.c.at_ms)
                .limit(_MAX_HAPPENINGS)
            )
            return timeline(
                recorded_job(row),
                row.first_carrier,
                [execution(one) for one in ran],
                told.all(),
                lines(row.logs),
            )

    async def groups(self, *, since_ms: int = 0, limit: int = 50, counted: int = 1000) -> list[ErrorGroup]:
        """Return the groups of errors that occurred since then, the last one first.

        Each with how many jobs are in the dead-letter state for it, up to `counted`.
        """
        jobs = (
            select(func.count())
            .select_from(
                select(JOB.c.id)
                .where(JOB.c.error_group == ERROR_GROUP.c.fingerprint, DEAD)
                .limit(counted + 1)
                .correlate(ERROR_GROUP)
                .subquery()
            )
            .scalar_subquery()
        )
        statement = (
            select(ERROR_GROUP, jobs.label("jobs"))
            .where(ERROR_GROUP.c.last_ms >= since_ms)
            .order_by(ERROR_GROUP.c.last_ms.desc(), ERROR_GROUP.c.fingerprint)
            .limit(limit)
        )
        async with self.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            ErrorGroup(
                fingerprint=row.fingerprint,
                type=row.type,
                place=row.place,
                message=row.message,
                first_ms=row.first_ms,
                last_ms=row.last_ms,
                jobs=Count(min(row.jobs, counted), row.jobs > counted),
            )
            for row in rows
        ]

    async def feeds(self) -> list[FeedState]:
        """Return how far the events of each carrier are recorded."""
        columns = tuple(FEED.c[name] for name in FeedState.__struct_fields__)
        async with self.reading() as connection:
            rows = (await connection.execute(select(*columns).order_by(FEED.c.carrier))).all()
        return [FeedState(*row) for row in rows]

    # --- for the recorder ---------------------------------------------------------------------------------------

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Begin a transaction that reads."""
        return transaction(self._opened(), self.place.name, writing=False)

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Begin a transaction that writes: committed at its end, or rolled back."""
        return transaction(self._opened(), self.place.name, writing=True)

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            msg = f"the records in {self.place.name} are not open: use `async with`, or open() first"
            raise ConfigError(msg)
        return self._engine
