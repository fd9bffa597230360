"""Dead letters by error group: failed jobs whose last error has the same type and came from the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.clock import from_ms
from headway.codec import decode_history
from headway.job import JobState
from headway.records.fingerprint import fingerprint
from headway.server.instants import Instant
from headway.server.services.jobs import JobSearch, list_page, query_of
from headway.server.services.problems import NotFoundError

if TYPE_CHECKING:
    import builtins  # in FailuresService `list` is a method

    from headway.brokers.base import JobQuery
    from headway.job import AttemptError, JobRecord
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared

_LOOKED_AT: Final = 10_000  # failed jobs, the last to fail first
_PAGE: Final = 1000
_NAMED: Final = 20  # jobs of a group whose ids are told


class ErrorGroup(Struct, frozen=True, kw_only=True):
    """Failed jobs with one cause. `place` is the function that raised; `jobs` are the last of them."""

    id: str
    type: str
    place: str
    message: str
    tasks: tuple[str, ...]
    queues: tuple[str, ...]
    count: int
    first_at: Instant
    last_at: Instant
    jobs: tuple[str, ...]


class Failures(Struct, frozen=True):
    """Error groups, the largest first. `complete` is false where more jobs have failed than were looked at."""

    looked_at: int
    complete: bool
    groups: list[ErrorGroup]


class FailuresService:
    """The dead letters of an app, as its carriers keep them."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def list(
        self, caller: Caller, *, queue: tuple[str, ...] = (), task: tuple[str, ...] = ()
    ) -> Failures:
        """Return the groups of the last failed jobs, at most 10,000 of them."""
        query = query_of(self._shared, caller.scope, JobSearch((JobState.FAILED,), queue, task))
        if query is None:
            return Failures(0, complete=True, groups=[])
        records, complete = await self._failed(query)
        groups: dict[str, list[JobRecord]] = {}
        errors: dict[str, AttemptError] = {}
        for record in records:
            error = next(iter(reversed(decode_history(record.history))), None)
            group = group_of(error)
            groups.setdefault(group, []).append(record)
            if error is not None:
                errors.setdefault(group, error)
        found = [_group(group, some, errors.get(group)) for group, some in groups.items()]
        found.sort(key=lambda one: (-one.count, one.id))
        return Failures(len(records), complete, found)

    async def get(self, caller: Caller, group: str) -> ErrorGroup:
        """Return one group; NotFoundError when none of the last failed jobs is of it."""
        for one in (await self.list(caller)).groups:
            if one.id == group:
                return one
        msg = f"there is no error group {group!r} among the last failed jobs"
        raise NotFoundError(msg)

    async def _failed(self, query: JobQuery) -> tuple[builtins.list[JobRecord], bool]:
        found: builtins.list[JobRecord] = []
        after: str | None = None
        while len(found) < _LOOKED_AT:
            page = await list_page(self._shared, query, after, _PAGE)
            found += page.jobs
            if page.cursor is None:
                return found, True
            after = page.cursor
        return found, False


def group_of(error: AttemptError | None) -> str:
    """Return the group of jobs with this last error: the same word as in the records."""
    return "unknown" if error is None else fingerprint(error).group


def _group(group: str, records: list[JobRecord], error: AttemptError | None) -> ErrorGroup:
    ended = [record.finished_ms or record.enqueued_ms for record in records]
    return ErrorGroup(
        id=group,
        type="" if error is None else error.type,
        place="" if error is None else fingerprint(error).place,
        message="" if error is None else error.message,
        tasks=tuple(sorted({record.task for record in records})),
        queues=tuple(sorted({record.queue for record in records})),
        count=len(records),
        first_at=from_ms(min(ended)),
        last_at=from_ms(max(ended)),
        jobs=tuple(record.id for record in records[:_NAMED]),
    )
