"""The app of the demo of a roll-out: the demo's jobs, on two carriers. The demo sets where they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from headway.app.app import Headway
from headway.app.context import Context  # noqa: TC001 - the task's signature is read when it is declared
from headway.demo.app import FILES, StumbledError
from headway.demo.push_place import CLOUD
from headway.demo.source import FileFacts, analyse
from headway.job import mark_of
from headway.retry import Retry

ROLLING_PATH: Final = "headway.demo.rolling_app:app"
FAULT: Final = "fault"
"""While a file of this name lies beside the demo's settings, each attempt on the new side fails."""

app: Final = Headway("headway-demo", record_events=True)
_fault: Final = Path(os.environ.get("HEADWAY_CONFIG", "headway.toml")).with_name(FAULT)


# With attempts enough for the time of the fault: what is refused then completes when it is mended.
@app.task(
    name="analyse",
    queue=FILES,
    retry=Retry(max_attempts=50, initial=0.5, factor=2.0, maximum=2.0),
    timeout=60,
)
def analyse_file(ctx: Context, path: str) -> FileFacts:
    """Analyse one file; fail on the new side while the fault is there."""
    if ctx.job_id[-1] == mark_of(CLOUD) and _fault.exists():
        msg = f"{CLOUD} cannot do that, as the demo asked for"
        raise StumbledError(msg)
    return analyse(path)
