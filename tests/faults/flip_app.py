"""The app of the tests whose routes flip: its tasks, and where producers write down what they asked and were told.

`headway worker tests.faults.flip_app:app` and `headway push tests.faults.flip_app:app` load it; settings come from
HEADWAY_* variables. The first argument of each job is its tag, by which the ledger knows it before it has an id.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

from headway import Context, Headway, Retry, Unique
from tests.faults.effects import write
from tests.faults.jobs import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

ASKED: Final = "FAULTS_ASKED"
"""The variable that names the file of the producers."""
QUEUE: Final = "default"
UNIQUE_QUEUE: Final = "alone"
_SOON: Final = Retry(max_attempts=10, initial=0.05, factor=1.0, jitter=0.0)


async def quick(ctx: Context, tag: str) -> None:
    """End at once."""
    write(ctx, "start", tag=tag)
    write(ctx, "end", tag=tag)


async def slow(ctx: Context, tag: str, seconds: float) -> None:
    """Take some time."""
    write(ctx, "start", tag=tag)
    await asyncio.sleep(seconds)
    write(ctx, "end", tag=tag)


async def flaky(ctx: Context, tag: str) -> None:
    """Fail once, then succeed."""
    write(ctx, "start", tag=tag)
    if ctx.attempt - ctx.crashes <= 1:
        msg = "planned"
        raise RuntimeError(msg)
    write(ctx, "end", tag=tag)


async def alone(ctx: Context, tag: str, who: str) -> None:
    """Be the only one of its name."""
    del who
    write(ctx, "start", tag=tag)
    await asyncio.sleep(0.2)
    write(ctx, "end", tag=tag)


def build(name: str) -> Headway:
    """Make the app."""
    made = Headway(name)
    for function in (quick, slow, flaky):
        made.task(name=function.__name__, queue=QUEUE, retry=_SOON)(function)
    made.task(name=alone.__name__, queue=UNIQUE_QUEUE, retry=_SOON, unique=Unique(by=["who"]))(alone)
    return made


def note(lines: Iterable[dict[str, Any]]) -> None:
    """Append to the producers' file, in one write: what stands there survives the process."""
    at = {"at_ms": time.time_ns() // 1_000_000}
    text = "".join(f"{json.dumps(line | at)}\n" for line in lines)
    descriptor = os.open(os.environ[ASKED], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


if NAMESPACE in os.environ:
    app = build(os.environ[NAMESPACE])
