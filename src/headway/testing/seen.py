"""A job as a test sees it: with its arguments and its result as values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from headway.codec import decode_call, decode_history, decode_result
from headway.job import AttemptError, JobRecord, JobState
from headway.offload.payloads import whole

if TYPE_CHECKING:
    from headway.app.app import Headway
    from headway.job import JobId


class SeenJob(Struct, frozen=True):
    """A job of the app. `record` is all that the carrier knows; `errors` are those of its attempts, oldest first."""

    record: JobRecord
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    headers: dict[str, str]
    errors: list[AttemptError]
    result: Any = None

    @property
    def id(self) -> JobId:
        """The job's id."""
        return self.record.id

    @property
    def task(self) -> str:
        """The name of its task."""
        return self.record.task

    @property
    def queue(self) -> str:
        """Its queue."""
        return self.record.queue

    @property
    def state(self) -> JobState:
        """Where it is in its life."""
        return self.record.state


async def seen(app: Headway, record: JobRecord) -> SeenJob:
    """Decode what a record holds by the types of its task, offloaded or not; CodecError when it is damaged."""
    call, form = decode_call(await whole(app.offload, record.payload))
    task = app.find_task(record.task)
    args, kwargs = task.signature.decode(call, form)
    result = (
        decode_result(await whole(app.offload, record.result), task.signature.result_type)
        if record.result
        else None
    )
    return SeenJob(record, tuple(args), kwargs, dict(call.headers), decode_history(record.history), result)
