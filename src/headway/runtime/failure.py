"""How a failed attempt is written down: bounded, and without the values of local variables."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final

from headway.codec import decode_history, encode_history
from headway.errors import HeadwayError
from headway.job import AttemptError
from headway.storable import storable

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
    """Describe an exception, or what `kind` and `message` say."""
    if error is None:
        return AttemptError(attempt, at_ms, kind, storable(message))
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - a handler's own exception class may do anything
        text = f"(its text cannot be made: {type(broken).__name__})"
    trace = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
    return AttemptError(
        attempt, at_ms, storable(_name(type(error))), storable(text), storable(trace, _MAX_TRACEBACK)
    )


def with_error(delivery: Delivery, error: AttemptError) -> bytes:
    """Return the job's history with one error more."""
    errors = [*decode_history(delivery.history), error]
    if len(errors) > _MAX_ERRORS:
        errors = [errors[0], *errors[-(_MAX_ERRORS - 1) :]]
    return encode_history(errors)


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
