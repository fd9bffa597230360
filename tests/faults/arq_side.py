"""The other side of a migration, run by an interpreter that has arq and not Headway: a worker, or a producer.

`python arq_side.py worker|produce|once REDIS_URL LEDGER`. Each run of a job appends `arq TAG` to the ledger; the
producer prints `told TAG` behind each enqueue.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from typing import Any

from arq.connections import RedisSettings, create_pool  # pyright: ignore[reportMissingImports]
from arq.worker import Worker  # pyright: ignore[reportMissingImports]

_LEDGER = sys.argv[3]


def _note(line: str) -> None:
    descriptor = os.open(_LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


async def work(ctx: dict[str, Any], tag: str) -> None:
    """Say that the job ran here."""
    del ctx
    _note(f"arq {tag}")
    await asyncio.sleep(0.01)


async def only_here(ctx: dict[str, Any], tag: str) -> None:
    """Say that a job ran here that the map does not speak of."""
    del ctx
    _note(f"arq {tag}")


async def produce(url: str) -> None:
    """Enqueue until killed: plain jobs, deferred ones, some with ids of their own, and some that stay."""
    pool = await create_pool(RedisSettings.from_dsn(url))
    for n in itertools.count():
        tag = f"t{n}"
        if n % 10 == 3:
            await pool.enqueue_job("work", tag, _defer_by=0.5 + n % 7 / 5)
        elif n % 10 == 6:
            await pool.enqueue_job("work", tag, _job_id=f"given:{n} é")
        elif n % 10 == 9:
            await pool.enqueue_job("only_here", tag)
        else:
            await pool.enqueue_job("work", tag)
        sys.stdout.write(f"told {tag}\n")
        sys.stdout.flush()
        await asyncio.sleep(0.002)


def main() -> None:
    """Be one of them."""
    role, url = sys.argv[1:3]
    if role == "produce":
        asyncio.run(produce(url))
        return
    worker = Worker(
        [work, only_here],
        redis_settings=RedisSettings.from_dsn(url),
        max_jobs=2,
        poll_delay=0.05,
        burst=role == "once",
        keep_result=0,
    )
    worker.run()


if __name__ == "__main__":
    main()
