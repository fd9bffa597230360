"""A program that enqueues one job after the other until it is killed: `python -m tests.faults.producer TAG`.

It prints `ask TAG` before each call and `told TAG ID` behind it.
"""

from __future__ import annotations

import asyncio
import itertools
import sys

from tests.faults.app import app
from tests.faults.soak_jobs import soak_succeed


async def produce(prefix: str) -> None:
    """Enqueue for ever."""
    task = app.find_task(soak_succeed.__name__)
    async with app:
        for number in itertools.count():
            tag = f"{prefix}.p{number}"
            _say(f"ask {tag}")
            handle = await task.enqueue(tag)
            _say(f"told {tag} {handle.id}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(produce(sys.argv[1]))
