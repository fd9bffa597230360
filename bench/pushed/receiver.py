"""A receiver whose guard is timed: `python -m bench.pushed.receiver PORT FILE`; FILE gets the times as JSON."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from bench.pushed.app import app
from headway.guards.guard import Guard
from headway.push import receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

TIMES: dict[str, list[tuple[str, float]]] = {"begin": [], "settle": []}


def timed(
    kind: str, method: Callable[..., Coroutine[Any, Any, Any]], job: Callable[[Any], str]
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Note how long each call takes, by job, in seconds."""
    times = TIMES[kind]

    async def call(guard: Guard, subject: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the method
        began = time.perf_counter()
        try:
            return await method(guard, subject, *args, **kwargs)
        finally:
            times.append((job(subject), time.perf_counter() - began))

    return call


def main() -> None:
    """Serve until SIGTERM."""
    Guard.begin = timed("begin", Guard.begin, lambda pushed: pushed.job.id)  # type: ignore[method-assign]
    Guard.settle = timed("settle", Guard.settle, lambda lease: lease.job_id)  # type: ignore[method-assign]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn raises it once more when it has ended by it
    uvicorn.run(receiver(app), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
    Path(sys.argv[2]).write_text(json.dumps(TIMES), encoding="utf-8")


if __name__ == "__main__":
    main()
