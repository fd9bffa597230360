"""How a failed attempt is written down: bounded, without the values of local variables, whatever was raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.codec import decode_history, encode_history
from headway.errors import HeadwayError
from headway.job import AttemptError
from headway.raised import message_of, trace_of, type_name
from headway.text import storable

if TYPE_CHECKING:
    from headway.job import Delivery

_MAX_TRACEBACK: Final = 8000  # characters, of the end: that is where the cause stands
_MAX_ERRORS: Final = 10  # kept per job: the first one and the latest


class JobTimeoutError(HeadwayError, TimeoutError):
    """An attempt took longer than its limit."""


class ProcessDiedError(HeadwayError):
    """The process of a job with run_in="process" ended without an answer."""


def error_of(
    attempt: int, at_ms: int, error: BaseException | None = None, *, kind: str = "", message: str = ""
) -> AttemptError:
    """Describe an exception, or what `kind` and `message` say. Never raises, whatever the exception's class does."""
    if error is None:
        return AttemptError(attempt, at_ms, kind, storable(message))
    trace = trace_of(error)[-_MAX_TRACEBACK:]
    return AttemptError(
        attempt,
        at_ms,
        storable(type_name(type(error))),
        storable(message_of(error)),
        storable(trace, _MAX_TRACEBACK),
    )


def with_error(delivery: Delivery, *errors: AttemptError) -> bytes:
    """Return the job's history with these errors added."""
    kept = [*decode_history(delivery.history), *errors]
    if len(kept) > _MAX_ERRORS:
        kept = [kept[0], *kept[-(_MAX_ERRORS - 1) :]]
    return encode_history(kept)


def process_deaths(delivery: Delivery) -> int:
    """Return how many earlier attempts ended with the death of the job's own process, as far as they are remembered."""
    died = type_name(ProcessDiedError)
    return sum(error.type == died for error in decode_history(delivery.history))
