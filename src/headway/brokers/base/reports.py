"""What a running job tells, and what becomes of what is sent under its lease."""

from __future__ import annotations

import math

from msgspec import Struct
from msgspec.structs import force_setattr

from headway.job import JobId, Lease
from headway.text import MAX_LINE, real, storable


class Progress(Struct, frozen=True):
    """`fraction` from 0 to 1, and a short text. Values of other libraries' types become plain ones; TypeError."""

    fraction: float
    message: str = ""

    def __post_init__(self) -> None:
        """Make them plain: what one report holds must not concern those that travel with it."""
        fraction = real(self.fraction)
        if not math.isfinite(fraction):
            msg = f"progress must be a finite number, got {fraction}"
            raise ValueError(msg)
        force_setattr(self, "fraction", fraction)
        force_setattr(self, "message", storable(self.message))


class LogLine(Struct, frozen=True):
    """One line of a job's log."""

    at_ms: int
    level: str
    message: str

    def __post_init__(self) -> None:
        """Make the text such as every carrier can hold."""
        force_setattr(self, "level", storable(self.level))
        force_setattr(self, "message", storable(self.message, MAX_LINE))


class Report(Struct, frozen=True):
    """Progress or a log line of a running job; refused under a stale epoch."""

    lease: Lease
    content: Progress | LogLine


class SettleResult(Struct, frozen=True):
    """`applied` is false when the epoch was stale (superseded): nothing was changed."""

    job_id: JobId
    applied: bool
