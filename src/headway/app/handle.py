"""The handle of an accepted job: its state, its result, its cancellation, from any process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, assert_never

from headway.clock import duration_ms
from headway.codec import decode_history, decode_result, is_reference
from headway.errors import (
    JobCancelledError,
    JobExpiredError,
    JobFailedError,
    JobNotFoundError,
    ResultTimeoutError,
)
from headway.job import JobId, JobRecord, JobState
from headway.text import storable

if TYPE_CHECKING:
    from headway.app.info import JobInfo
    from headway.app.parts import JobSource
    from headway.brokers.base import LogLine, Progress
    from headway.clock import Duration

R_co = TypeVar("R_co", covariant=True)


class JobHandle(Generic[R_co]):
    """An accepted job. `duplicate` tells that it was there before (idempotency key, unique key)."""

    __slots__ = ("_result_type", "app", "duplicate", "id")

    def __init__(
        self,
        app: JobSource,
        job_id: JobId,
        *,
        result_type: Any = Any,  # noqa: ANN401 - any type
        duplicate: bool = False,
    ) -> None:
        """Made by enqueue, or by `app.job(id)`."""
        self.app = app
        self._result_type = result_type
        self.id = job_id
        self.duplicate = duplicate

    async def record(self) -> JobInfo:
        """Return all that is known of the job; JobNotFoundError when nothing is."""
        from headway.app.info import job_info  # noqa: PLC0415 - `import headway` need not pay for it

        return await job_info(self.app, await self._raw(), fetch=True)

    async def _raw(self) -> JobRecord:
        (record,) = await self.app.carrier.get([self.id])
        if record is None:
            raise JobNotFoundError(
                self.id, "not known here: never accepted, removed, or pruned after the retention time"
            )
        return record

    async def status(self) -> JobState:
        """Return the job's present state."""
        return (await self._raw()).state

    async def wait(self, timeout: Duration | None = None) -> JobState:  # noqa: ASYNC109 - the carrier's own wait
        """Wait until the job has completed, however it ended; ResultTimeoutError after `timeout` (seconds)."""
        return (await self._finished(timeout)).state

    async def result(self, timeout: Duration | None = None) -> R_co:  # noqa: ASYNC109 - the carrier's own wait
        """Wait for the job and return what its handler returned.

        Raises JobFailedError, JobCancelledError or JobExpiredError when it ended so, ResultTimeoutError after `timeout`
        (seconds), JobNotFoundError when it is unknown or pruned.
        """
        record = await self._finished(timeout)
        match record.state:
            case JobState.SUCCEEDED:
                result = record.result
                if is_reference(result):
                    from headway.offload.payloads import whole  # noqa: PLC0415 - only for large results

                    result = await whole(self.app.offload, result)
                value: R_co = decode_result(result, self._result_type)
                return value
            case JobState.FAILED:
                last = next(iter(reversed(decode_history(record.history))), None)
                if last is None:
                    raise JobFailedError(self.id, "unknown", record.reason)
                raise JobFailedError(self.id, last.type, last.message, last.traceback)
            case JobState.CANCELLED:
                raise JobCancelledError(self.id, f"cancelled{f': {record.reason}' if record.reason else ''}")
            case JobState.EXPIRED:
                raise JobExpiredError(self.id, "it expired before it was started")
            case JobState.SCHEDULED | JobState.READY | JobState.RUNNING:
                raise ResultTimeoutError(self.id, f"still {record.state}")
            case _:
                assert_never(record.state)

    async def cancel(self, reason: str = "") -> JobState:
        """Cancel the job: at once when it waits; a running one is asked, see `wait`.

        Return its state after the request.
        """
        (answer,) = await self.app.carrier.cancel([self.id], storable(reason))
        if answer.state is None:
            raise JobNotFoundError(self.id, "not known here, so it cannot be cancelled")
        return answer.state

    async def progress(self) -> Progress | None:
        """Return the latest progress that the handler reported."""
        from headway.brokers.base import Progress  # noqa: PLC0415 - loaded with the carrier, not with the package

        record = await self._raw()
        return None if record.progress is None else Progress(record.progress, record.progress_message)

    async def logs(self) -> list[LogLine]:
        """Return the lines that the handler logged through its context, oldest first."""
        return await self.app.carrier.logs(self.id)

    @property
    def sync(self) -> SyncJobHandle[R_co]:
        """The blocking twin."""
        return SyncJobHandle(self)

    def __repr__(self) -> str:
        """Show the id."""
        return f"<JobHandle {self.id}{' (duplicate)' if self.duplicate else ''}>"

    async def _finished(self, timeout: Duration | None) -> JobRecord:  # noqa: ASYNC109
        limit = None if timeout is None else max(0, duration_ms(timeout, "timeout"))
        record = await self.app.carrier.wait_finished(self.id, limit)
        if record is None:
            raise JobNotFoundError(
                self.id, "not known here: never accepted, removed, or pruned after the retention time"
            )
        if not record.state.terminal:
            raise ResultTimeoutError(
                self.id, f"still {record.state} after {0 if limit is None else limit / 1000:g} s"
            )
        return record


class SyncJobHandle(Generic[R_co]):
    """The blocking twin of JobHandle: the same methods, for code without an event loop."""

    __slots__ = ("_handle",)

    def __init__(self, handle: JobHandle[R_co]) -> None:
        """Wrap the handle; the calls run on the app's portal."""
        self._handle = handle

    @property
    def id(self) -> JobId:
        """The job's id."""
        return self._handle.id

    @property
    def duplicate(self) -> bool:
        """True when the job was there before."""
        return self._handle.duplicate

    def record(self) -> JobInfo:
        """Return all that is known of the job; JobNotFoundError when nothing is."""
        return self._call(self._handle.record)

    def status(self) -> JobState:
        """Return the job's present state."""
        return self._call(self._handle.status)

    def wait(self, timeout: Duration | None = None) -> JobState:
        """Wait until the job has completed; ResultTimeoutError after `timeout` (seconds)."""
        return self._call(self._handle.wait, timeout)

    def result(self, timeout: Duration | None = None) -> R_co:
        """Wait for the job and return what its handler returned; raises as JobHandle.result does."""
        return self._call(self._handle.result, timeout)

    def cancel(self, reason: str = "") -> JobState:
        """Cancel the job; return its state after the request."""
        return self._call(self._handle.cancel, reason)

    def progress(self) -> Progress | None:
        """Return the latest progress that the handler reported."""
        return self._call(self._handle.progress)

    def logs(self) -> list[LogLine]:
        """Return the lines that the handler logged, oldest first."""
        return self._call(self._handle.logs)

    def __repr__(self) -> str:
        """Show the id."""
        return f"<SyncJobHandle {self.id}>"

    @property
    def _call(self) -> Caller:
        return self._handle.app.portal.call


if TYPE_CHECKING:
    from headway.app.portal import Caller
