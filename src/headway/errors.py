"""Every error that Headway raises, one tree.

```
HeadwayError
├── ConfigError               a setting is missing, unknown or out of range
├── DeclarationError          a task, queue or schedule is declared wrongly
├── ScheduleConflictError     a schedule of that name is there already, or somebody else changed it meanwhile
├── ScheduleNotFoundError     no schedule of that name was made at run time
├── EnqueueError              a job was refused: nothing was written
│   ├── UnknownTaskError      no task of that name is declared
│   ├── ArgumentsError        the arguments do not fit the task's signature
│   ├── SerialisationError    a value cannot be written by the codec
│   ├── PayloadTooLargeError  the encoded arguments pass the size limit
│   └── UnsupportedError      the carrier cannot do what was asked
├── BrokerError               the carrier failed
│   ├── BrokerUnavailableError  it cannot be reached; the call may or may not have been applied
│   │   └── SpoolError          nor can the spool take the job: it is full, or its file fails
│   ├── BrokerRefusedError    it answered no (full, read-only, no permission): nothing was written
│   └── PartlyAcceptedError   of many jobs, some were accepted, then one of them or the carrier failed
├── CodecError                stored bytes are damaged or of an unknown version
├── PayloadMissingError       an offloaded call or result is not in its store
├── RecordsUnavailableError   the database of the records does not answer
└── JobError                  about one job
    ├── JobNotFoundError      no such job, or its record was pruned
    ├── JobFailedError        the job is in the dead-letter state
    ├── JobCancelledError     the job was cancelled
    ├── JobExpiredError       the job expired before it was started
    └── ResultTimeoutError    the job is not finished yet (also a TimeoutError)
```

`RetryLater` and `Discard` are not errors: a handler raises them to say how its job goes on.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from headway.clock import Duration, duration_ms

if TYPE_CHECKING:
    from collections.abc import Sequence


class HeadwayError(Exception):
    """Base of every error that Headway raises."""


class ConfigError(HeadwayError, ValueError):
    """A setting is missing, unknown or out of range; the message names it and where it came from."""


class DeclarationError(HeadwayError, TypeError):
    """A task, queue or schedule is declared wrongly; raised at import, not when the job runs."""


class ScheduleConflictError(HeadwayError):
    """A schedule of that name is there already, in the code or made at run time, or others keep changing it."""


class ScheduleNotFoundError(HeadwayError, LookupError):
    """No schedule of that name was made at run time; the message says so when it is one of the code."""


class EnqueueError(HeadwayError):
    """A job was refused before anything was written."""


class UnknownTaskError(EnqueueError, LookupError):
    """No task of that name is declared in the app."""


class ArgumentsError(EnqueueError, TypeError):
    """The arguments do not fit the task's signature; the message names the argument."""


class SerialisationError(EnqueueError, TypeError):
    """A value cannot be written by the codec; the message names the argument."""


class PayloadTooLargeError(EnqueueError, ValueError):
    """The encoded arguments pass the payload limit of the app or of the carrier."""


class UnsupportedError(EnqueueError, ValueError):
    """The carrier cannot do what was asked, such as a delay beyond its horizon."""


class BrokerError(HeadwayError):
    """The carrier failed."""


class BrokerUnavailableError(BrokerError, ConnectionError):
    """The carrier cannot be reached.

    The call may or may not have been applied; repeating it with the same job ids is safe.
    """


class SpoolError(BrokerUnavailableError):
    """The carrier is away, and the spool cannot take the job: a bound is reached, or its file cannot be written."""


class BrokerRefusedError(BrokerError):
    """The carrier answered no (disk full, read-only, out of memory, no permission). Nothing was written."""


class PartlyAcceptedError(BrokerError):
    """Of many jobs, those in `accepted` (ids, in order) were accepted; then one was refused, or the carrier failed."""

    def __init__(self, accepted: Sequence[str], cause: Exception) -> None:
        """Keep the ids, so that the caller can go on behind them."""
        super().__init__(f"{len(accepted)} jobs were accepted, the others were not: {cause}")
        self.accepted = tuple(accepted)


class CodecError(HeadwayError, ValueError):
    """Stored bytes are damaged, or of a version that this Headway does not know."""


class PayloadMissingError(HeadwayError, LookupError):
    """An offloaded call or result is not in its store: removed, or this host sees another store."""


class RecordsUnavailableError(HeadwayError, ConnectionError):
    """The database of the records cannot be reached, or answered with an error; jobs are not concerned."""


class JobError(HeadwayError):
    """About one job, named by `job_id`."""

    def __init__(self, job_id: str, message: str) -> None:
        """Keep the id beside the message, so that callers need not parse it."""
        super().__init__(f"job {job_id}: {message}")
        self.job_id = job_id


class JobNotFoundError(JobError, LookupError):
    """No such job: never accepted here, removed, or its record was pruned after the retention time."""


class JobFailedError(JobError):
    """The job is in the dead-letter state. `error_type` and `traceback` are those of its last attempt."""

    def __init__(self, job_id: str, error_type: str, message: str, traceback: str = "") -> None:
        """Keep the parts of the last attempt's error."""
        super().__init__(job_id, f"{error_type}: {message}" if message else error_type)
        self.error_type = error_type
        self.traceback = traceback


class JobCancelledError(JobError):
    """The job was cancelled before it completed."""


class JobExpiredError(JobError):
    """The job was not started before its expiry."""


class ResultTimeoutError(JobError, TimeoutError):
    """The job did not finish within the time that the caller gave; it goes on."""


class RetryLater(Exception):  # noqa: N818 - a signal of a handler to its worker, not an error
    """Raise in a handler: run this job again after `delay`, without counting the attempt as failed.

    `delay` is a timedelta, seconds or a text such as `5m`, not negative and at most 1000 years. With `counts` the
    attempt is used up and recorded as failed; behind the last one that the task's policy gives, the job fails.
    """

    counts: bool = False

    def __init__(self, delay: Duration, reason: str = "", *, counts: bool = False) -> None:
        """Check the delay here, where the handler's author sees the traceback."""
        self.delay = timedelta(milliseconds=duration_ms(delay, "RetryLater: delay"))
        if self.delay < timedelta(0):
            msg = f"RetryLater: delay must not be negative, got {self.delay}"
            raise ValueError(msg)
        self.reason = reason
        self.counts = counts
        super().__init__(reason or f"again in {self.delay}")


class Discard(Exception):  # noqa: N818 - a signal of a handler to its worker, not an error
    """Raise in a handler: give the job up at once; it is kept as cancelled, with this reason."""

    def __init__(self, reason: str = "") -> None:
        """Keep the reason for the job's record."""
        self.reason = reason
        super().__init__(reason or "discarded by its handler")
