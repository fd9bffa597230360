"""The effects file: what handlers did, written down apart from any carrier.

One line for each start and each completion, appended in one write, so that lines of many processes do not mix.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headway import Context

EFFECTS: Final = "FAULTS_EFFECTS"


def write(ctx: Context, what: str, **more: Any) -> None:
    """Append one line to the effects ledger."""
    line = {
        **more,
        "job": ctx.job_id,
        "task": ctx.task,
        "what": what,
        "attempt": ctx.attempt,
        "crashes": ctx.crashes,
        "pid": os.getpid(),
        # Not time.time_ns: a history may have it jump.
        "at_ms": time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000,
    }
    descriptor = os.open(os.environ[EFFECTS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)
