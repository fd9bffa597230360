"""What follows an answer or an error: a result, another attempt, or the end."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from headway.errors import RetryLater
from headway.httpjobs.errors import HttpGaveUpError, HttpStatusError, HttpUnavailableError

if TYPE_CHECKING:
    from headway.httpjobs.request import HttpCall, HttpResult
    from headway.httpjobs.sending import Answer

_SHOWN: Final = 200  # characters of an answer in the message of an error
_MOST_DIGITS: Final = 9


def judged(call: HttpCall, answer: Answer, attempt: int, longest: float) -> HttpResult:
    """Return the result of a good answer; otherwise raise what says how the job goes on.

    `longest`: seconds that a target may ask to be left alone.
    """
    result = answer.result
    if call.good(result.status):
        return result
    what = f"{call.method} {result.url.partition('?')[0]} was answered {result.status}: {_excerpt(result)}"
    if result.status not in call.retry_statuses:
        raise HttpStatusError(what)
    if is_last(call, attempt):
        raise HttpGaveUpError(what)
    wait = retry_after(answer.retry_after)
    if wait is not None:
        raise RetryLater(min(wait, longest), what, counts=True)
    raise HttpUnavailableError(what)


def failed(call: HttpCall, error: HttpUnavailableError, attempt: int) -> Exception:
    """Return what becomes of an attempt without a whole answer: the error itself, or one that is final."""
    if not call.retry_errors:
        return HttpGaveUpError(f"{error}; the call says not to try again, because it may have been received")
    return HttpGaveUpError(str(error)) if is_last(call, attempt) else error


def is_last(call: HttpCall, attempt: int) -> bool:
    """Tell whether the call gives no other attempt."""
    return call.attempts is not None and attempt >= call.attempts


def retry_after(text: str, now_s: float | None = None) -> float | None:
    """Read Retry-After: seconds, or a date; None when it is neither, or has passed."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:_MOST_DIGITS]) if len(text) <= _MOST_DIGITS else math.inf
    try:
        instant = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    wait = instant - (time.time() if now_s is None else now_s)
    return wait if wait > 0 else None


def _excerpt(result: HttpResult) -> str:
    if result.base64:
        return "bytes that are no text"
    text = " ".join(result.body.split())
    return text[:_SHOWN] or "no body"
