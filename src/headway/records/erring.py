"""Which error belongs to which attempt; pure.

A job's record has the errors of its attempts, with the number of each and the instant by its worker's clock. Events
have the epoch of each attempt and its end by the carrier's clock. A handler that asks for another run (RetryLater)
leaves no error and uses up no attempt, so the number alone does not tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.codec import decode_history
from headway.job import AttemptError
from headway.records.fingerprint import Fingerprint, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headway.records.written import ExecutionRow

_FAR_MS: Final = 60_000  # apart: clocks of one installation do not differ by more
_WITH_ERROR: Final = frozenset({"retry", "failed"})


class RecordedError(Struct, frozen=True):
    """An error of an attempt, and its group."""

    error: AttemptError
    kind: Fingerprint


def errors_of(history: bytes) -> list[RecordedError]:
    """Read the errors of a record."""
    return [RecordedError(one, fingerprint(one)) for one in decode_history(history)]


def attach(errors: Sequence[RecordedError], executions: Iterable[ExecutionRow]) -> None:
    """Give each attempt that ended with an error the one that is nearest to its end, if it is that one's nearest."""
    ended = [one for one in executions if one.outcome in _WITH_ERROR and one.ended_ms is not None]
    for run in ended:
        best = min(
            (one for one in errors if _may_be(one, run)), key=lambda one: _apart(one, run), default=None
        )
        if best is None or _apart(best, run) > _FAR_MS:
            continue
        if any(_may_be(best, other) and _apart(best, other) < _apart(best, run) for other in ended):
            continue
        run.error_type, run.error_message = best.error.type, best.error.message
        run.error_traceback, run.error_group = best.error.traceback, best.kind.group
        run.attempt = run.attempt or best.error.attempt


def _may_be(error: RecordedError, run: ExecutionRow) -> bool:
    return run.attempt in {0, error.error.attempt}


def _apart(error: RecordedError, run: ExecutionRow) -> int:
    return abs(error.error.at_ms - (run.ended_ms or 0))
