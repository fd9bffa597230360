"""Creating jobs by the names of their tasks, with arguments of JSON, checked as the task declares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from headway.app.options import NO_OPTIONS, job_options
from headway.app.prepared import GivenCall, PreparedJob
from headway.app.unique import Unique
from headway.codec import Call
from headway.errors import (
    ArgumentsError,
    BrokerError,
    CodecError,
    DeclarationError,
    EnqueueError,
    HeadwayError,
    PartlyAcceptedError,
)
from headway.server.instants import Instant
from headway.server.services.problems import OutOfScopeError

if TYPE_CHECKING:
    from headway.app.options import JobOptions
    from headway.app.task import Task
    from headway.job import NewJob
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared

MOST: Final = 10_000
"""Jobs of one bulk call."""
_NO_ARGS: Final[list[Raw]] = []
_NO_KWARGS: Final[dict[str, Raw]] = {}


class UniqueOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """Jobs that count as the same: by which text, and what becomes of the second one; as `headway.Unique`."""

    mode: Literal["reject", "throttle", "debounce", "keep_last"] = "reject"
    by: str | None = None
    window: float | str | None = None


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one job; what is not given is taken from the task. Durations are seconds, or texts such as `5m`."""

    delay: float | str | None = None
    at: Instant | None = None
    priority: int | None = None
    queue: str | None = None
    key: str | None = None
    headers: dict[str, str] | None = None
    timeout: float | str | None = None
    expires: float | str | None = None
    unique: UniqueOptions | UnsetType | None = UNSET


class CreateJob(Struct, frozen=True, forbid_unknown_fields=True):
    """A job to be made."""

    task: str
    args: list[Raw] = _NO_ARGS
    kwargs: dict[str, Raw] = _NO_KWARGS
    options: Options | None = None


class Created(Struct, frozen=True):
    """The job that was made; `duplicate`: it was there before, under the same key or as the same unique job."""

    id: str
    task: str
    queue: str
    duplicate: bool = False


class ItemRefused(Struct, frozen=True):
    """Why one of many jobs was not made. `kind` is a word for programs."""

    kind: str
    detail: str


class BulkItem(Struct, frozen=True):
    """What became of one of many jobs: its id, or why there is none."""

    id: str | None = None
    duplicate: bool = False
    error: ItemRefused | None = None


class BulkCreated(Struct, frozen=True):
    """What became of many jobs, in the order in which they were given."""

    accepted: int
    refused: int
    jobs: list[BulkItem]


_item_decoder: Final = msgspec.json.Decoder(CreateJob)


class Creating:
    """Makes jobs."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def create(self, caller: Caller, given: CreateJob, *, key: str | None = None) -> Created:
        """Make one job. `key`: its idempotency key, unless its options name one. EnqueueError, OutOfScopeError."""
        new = self._new(caller, given, key)
        accepted = await self._shared.app.accept(new)
        created = Created(
            accepted.duplicate_of or accepted.id, new.task, new.queue, accepted.duplicate_of is not None
        )
        after = {"task": created.task, "queue": created.queue, "duplicate": created.duplicate}
        await self._shared.audit.note(caller, "jobs.create", f"job {created.id}", after=after)
        return created

    async def create_many(self, caller: Caller, items: list[Raw], *, key: str | None = None) -> BulkCreated:
        """Make many jobs; one that is wrong is refused alone. Each is a `CreateJob` in JSON.

        Nothing is raised for single jobs, also where the carrier fails in the middle: those it took have their ids.
        """
        found: list[BulkItem | None] = [None] * len(items)
        prepared: list[PreparedJob[Any]] = []
        places: list[int] = []
        app = self._shared.app
        for place, raw in enumerate(items):
            try:
                new = self._new(caller, _item_decoder.decode(raw), None if key is None else f"{key}:{place}")
                app.check(new)
            except (HeadwayError, msgspec.MsgspecError, ValueError, RecursionError) as error:
                found[place] = BulkItem(error=_refused(error))
            else:
                prepared.append(PreparedJob(new, Any))
                places.append(place)
        await self._enqueue(prepared, places, found)
        jobs = [one or BulkItem(error=ItemRefused("unknown", "no answer")) for one in found]
        accepted = sum(1 for one in jobs if one.error is None)
        ids = [one.id for one in jobs if one.id is not None]
        after = {"accepted": accepted, "refused": len(jobs) - accepted, "first": ids[:1], "last": ids[-1:]}
        await self._shared.audit.note(caller, "jobs.create-many", f"{len(jobs)} jobs", after=after)
        return BulkCreated(accepted, len(jobs) - accepted, jobs)

    async def _enqueue(
        self, prepared: list[PreparedJob[Any]], places: list[int], found: list[BulkItem | None]
    ) -> None:
        if not prepared:
            return
        try:
            handles = await self._shared.app.enqueue_many(prepared)
        except (BrokerError, EnqueueError) as error:
            accepted = set(error.accepted) if isinstance(error, PartlyAcceptedError) else set[str]()
            refused = _refused(error)
            for place, job in zip(places, prepared, strict=True):
                known = str(job.new.id) in accepted or str(job.new.id)[:-1] in {one[:-1] for one in accepted}
                found[place] = BulkItem(id=job.new.id) if known else BulkItem(error=refused)
        else:
            for place, handle in zip(places, handles, strict=True):
                found[place] = BulkItem(handle.id, handle.duplicate)

    def prepared(self, caller: Caller, given: CreateJob) -> PreparedJob[Any]:
        """Return a job that is not enqueued, with what it was made from: for a schedule. The errors are `create`'s."""
        options = _options(given.options, None)
        task, args, kwargs = self._call(given)
        new = task.new_job(options, args, kwargs)
        _check_scope(caller, new)
        return PreparedJob(new, Any, GivenCall(options, args, kwargs))

    def _call(self, given: CreateJob) -> tuple[Task[Any, Any], tuple[Any, ...], dict[str, Any]]:
        task = self._shared.app.find_task(given.task)
        try:
            args, kwargs = task.signature.decode(Call(given.args, given.kwargs), "json")
        except CodecError as error:
            raise ArgumentsError(str(error)) from error
        return task, tuple(args), kwargs

    def _new(self, caller: Caller, given: CreateJob, key: str | None) -> NewJob:
        task, args, kwargs = self._call(given)
        new = task.new_job(_options(given.options, key), args, kwargs)
        _check_scope(caller, new)
        return new


def _check_scope(caller: Caller, new: NewJob) -> None:
    if not caller.scope.has_job(new.queue, new.task):
        msg = f"this key is not for task {new.task!r} on queue {new.queue!r}"
        raise OutOfScopeError(msg)


def _options(given: Options | None, key: str | None) -> JobOptions:
    if given is None:
        return NO_OPTIONS if key is None else job_options(key=key)
    return job_options(
        delay=given.delay,
        at=given.at,
        priority=given.priority,
        queue=given.queue,
        key=key if given.key is None else given.key,
        headers=given.headers,
        timeout=given.timeout,
        expires=given.expires,
        unique=_unique(given.unique),
    )


def _unique(given: UniqueOptions | UnsetType | None) -> Unique | UnsetType | None:
    if not isinstance(given, UniqueOptions):
        return given
    try:
        return Unique(given.mode, given.by, given.window)
    except DeclarationError as error:
        raise ArgumentsError(str(error)) from error


def _refused(error: Exception) -> ItemRefused:
    match error:
        case msgspec.ValidationError() | RecursionError():
            return ItemRefused(
                "malformed", "nested too deeply" if isinstance(error, RecursionError) else str(error)
            )
        case HeadwayError():
            return ItemRefused(kind_of(error), str(error))
        case _:
            return ItemRefused("malformed", str(error))


def kind_of(error: HeadwayError) -> str:
    """Return the word for an error, such as `unknown-task`."""
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).strip("-")
