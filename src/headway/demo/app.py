"""The app of the demo. Where its jobs are kept comes from HEADWAY_URL and HEADWAY_NAMESPACE, which the demo sets."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Final

from msgspec import Struct

from headway.app.app import Headway
from headway.app.context import Context  # noqa: TC001 - the task's signature is read when it is declared
from headway.demo.source import OUTSIDE, FileFacts, analyse, library
from headway.retry import Retry

APP_PATH: Final = "headway.demo.app:app"
FILES: Final = "files"
REPORTS: Final = "reports"
MARKS: Final = "marks"  # no worker serves it

# Events are kept, so that the account can be drawn from the store afterwards.
app: Final = Headway("headway-demo", record_events=True)


class StumbledError(Exception):
    """What the first attempts of some jobs end with: the demo's stand-in for a service that is down for a moment."""


class Sample(Struct, frozen=True):
    """How busy the machine was."""

    load: float  # of the last minute
    worker: int  # process id


class Census(Struct, frozen=True):
    """How the standard library is laid out."""

    folders: int
    files: int
    bytes: int


# `def`, so it runs in a thread: parsing keeps the GIL, but never the event loop that talks to the carrier.
@app.task(
    name="analyse", queue=FILES, retry=Retry(max_attempts=6, initial=0.2, factor=2.0, maximum=2.0), timeout=60
)
def analyse_file(ctx: Context, path: str, stumbles: int = 0) -> FileFacts:
    """Analyse one file; fail in the first `stumbles` attempts."""
    if ctx.attempt <= stumbles:
        msg = f"attempt {ctx.attempt} of {path} stumbles, as the demo asked for"
        raise StumbledError(msg)
    return analyse(path)


@app.task(name="census", queue=REPORTS)
def census() -> Census:
    """Count the folders, files and bytes of the standard library; the demo's delayed job."""
    folders = files = size = 0
    for folder, below, names in os.walk(library()):
        below[:] = [name for name in below if name not in OUTSIDE]
        folders += 1
        files += len(names)
        size += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)  # noqa: PTH118 - ten thousand
    return Census(folders, files, size)


@app.every(timedelta(seconds=1), name="every-second")
@app.task(name="sample", queue=REPORTS)
def sample() -> Sample:
    """Look how busy the machine is; the demo's scheduled job."""
    return Sample(os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.getpid())


@app.task(name="mark", queue=MARKS)
def mark() -> None:
    """Never run: enqueued and cancelled, its events mark where the demo's begin and end."""
