"""Jobs of arq in every state, made and run by arq itself: `python arq_fixtures.py make|run REDIS_URL LEDGER`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from arq import Retry  # pyright: ignore[reportMissingImports]
from arq.connections import RedisSettings, create_pool  # pyright: ignore[reportMissingImports]
from arq.worker import Worker, func  # pyright: ignore[reportMissingImports]

DUE = datetime(2100, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def _note(line: str) -> None:
    descriptor = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


async def again(ctx: dict[str, Any], tag: str) -> None:
    """Want to be run again, in an hour."""
    _note(f"again {tag} {ctx['job_try']}")
    raise Retry(defer=3600)


async def fails(ctx: dict[str, Any], tag: str) -> None:
    """Fail for good."""
    del ctx
    msg = f"no {tag}"
    raise ValueError(msg)


async def kept(ctx: dict[str, Any], tag: str, **rest: Any) -> None:
    """Do what the map does not speak of."""
    del ctx, rest
    _note(f"kept {tag}")


async def typed(ctx: dict[str, Any], *args: Any, **kwargs: Any) -> None:
    """Say what came."""
    del ctx
    _note(f"typed {args!r} {kwargs!r}")


def _worker(url: str, **options: Any) -> Worker:
    functions = [func(again, max_tries=4), fails, kept, typed]
    return Worker(
        functions, redis_settings=RedisSettings.from_dsn(url), burst=True, poll_delay=0.02, **options
    )


async def _make(url: str) -> None:
    pool = await create_pool(RedisSettings.from_dsn(url))
    await pool.enqueue_job("again", "retried")
    await pool.enqueue_job("fails", "failed", _job_id="failed")
    worker = _worker(url, max_burst_jobs=2, keep_result=3600, handle_signals=False)
    await worker.async_run()
    await worker.close()

    await pool.enqueue_job(
        "typed",
        1,
        "é",
        b"\x00\xff",
        date(2020, 2, 3),
        kind=UUID(int=5),
        at=DUE,
        price=Decimal("1.50"),
        _job_id="typed",
    )
    await pool.enqueue_job("typed", _job_id="due", _defer_until=DUE, _expires=timedelta(days=40000))
    await pool.enqueue_job("typed", "wrong type", kind="no uuid", _job_id="misfit")
    await pool.enqueue_job("kept", "unmapped", _job_id="unmapped")
    await pool.enqueue_job("typed", 2, _job_id="user:1 é", _expires=timedelta(hours=2))
    await pool.enqueue_job("typed", 3, _job_id="running")
    await pool.psetex("arq:in-progress:running", 600_000, b"1")
    await pool.enqueue_job("typed", 4, _job_id="aborted")
    await pool.zadd("arq:abort", {"aborted": 1})
    await pool.enqueue_job("typed", 5, _job_id="expired")
    await pool.delete("arq:job:expired")
    await pool.enqueue_job("typed", 6, _job_id="large" * 3)
    await pool.set("arq:job:" + "large" * 3, b"x" * 2_000_000)
    await pool.enqueue_job("typed", 7, _job_id="odd")
    await pool.delete("arq:job:odd")
    await pool.lpush("arq:job:odd", "x")
    await pool.enqueue_job("typed", 8, _queue_name="second queue", _job_id="elsewhere")
    own = await create_pool(
        RedisSettings.from_dsn(url),
        job_serializer=lambda job: json.dumps(job).encode(),
        default_queue_name="json",
    )
    await own.enqueue_job("typed", 9, kind=None, _job_id="as json")
    await pool.set("unlike", 1)
    await pool.zadd("a zset of somebody else", {"x": 1})


def main() -> None:
    """Make them, or run what there is."""
    role, url = sys.argv[1:3]
    if role == "make":
        asyncio.run(_make(url))
    else:
        # Once: what is not due yet would keep a worker in burst mode for ever.
        worker = _worker(url, max_burst_jobs=int(sys.argv[4]), keep_result=3600)
        worker.run()


if __name__ == "__main__":
    main()
