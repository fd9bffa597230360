"""The app of the measurement. Where its jobs go comes from HEADWAY_* variables."""

from __future__ import annotations

import os
import time

from bench.pushed import LOG_VARIABLE
from headway import Context, Headway

app = Headway("bench-push")
_log = os.open(os.environ[LOG_VARIABLE], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


@app.task(name="note")
async def note(ctx: Context) -> None:
    """Write down that the job ran, and when."""
    os.write(_log, f"{ctx.job_id} {time.time_ns()}\n".encode())
