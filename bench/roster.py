"""The peers, each in its best honest configuration."""

from __future__ import annotations

from typing import Final

from bench.peer import Peer

_HEADWAY: Final = (
    "-c",
    "from headway.cli import main; main()",
    "worker",
    "bench.peers.headway.tasks:app",
    "--processes",
    "{processes}",
)

ROSTER: Final = (
    Peer(
        "headway",
        "headway",
        _HEADWAY,
        pace=15_000,
        own_processes=True,
        configuration="headway[all]: uvloop, hiredis; `headway worker`, concurrency 100, every default kept: leases, "
        "fencing, results and retention of 24 h; bulk is app.enqueue_many",
    ),
    Peer(
        "bullmq",
        "bullmq",
        ("worker.js",),
        pace=7_000,
        language="node",
        configuration="Node, ioredis; concurrency 100, removeOnComplete: true (faster than keeping them), other "
        "options as by default; one Worker a queue, one Node process a worker process; bulk is addBulk of 1,000",
    ),
    Peer(
        "arq",
        "arq",
        ("-m", "bench.peers.arq.worker"),
        pace=1_200,
        configuration="uvloop, hiredis; max_jobs 100, poll_delay 10 ms (the default of 500 ms is 50 times slower to "
        "pick up), keep_result 0, no result logging; bulk is 50 tasks at once, as there is no bulk call",
        multi_queue=False,
    ),
    Peer(
        "redis-limit",
        "redis_limit",
        ("-m", "bench.peers.redis_limit.worker"),
        pace=50_000,
        floor=True,
        multi_queue=False,
        configuration="not a peer but a limit: a hash a job, a list and a lease zset, 100 jobs a Lua call that settles "
        "and claims, no work in Python for a job; two client processes, so that Redis is what saturates",
    ),
    Peer(
        "redis-floor",
        "redis_floor",
        ("-m", "bench.peers.redis_floor.worker"),
        pace=150_000,
        floor=True,
        multi_queue=False,
        configuration="as redis-limit, packed: one hash of all payloads and variadic commands; no owner check",
    ),
)


def find_peers(names: str | None) -> list[Peer]:
    """Return the peers of a comma-separated list, or all; ValueError names the ones there are."""
    if not names:
        return list(ROSTER)
    known = {peer.name: peer for peer in ROSTER}
    chosen: list[Peer] = []
    for name in filter(None, names.split(",")):
        if name not in known:
            msg = f"there is no peer {name!r}; there are: {', '.join(known)}"
            raise ValueError(msg)
        chosen.append(known[name])
    return chosen
