"""The peers, each in its best honest configuration."""

from __future__ import annotations

from typing import Final

from bench.peer import EACH_QUEUE, Peer

_HEADWAY: Final = (
    "-c",
    "from headway.cli import main; main()",
    "worker",
    "bench.peers.headway.tasks:app",
    "--processes",
    "{processes}",
)

_POTATOQ: Final = (
    *("-m", "potatoq", "-A", "bench.peers.potatoq.tasks", "worker", "-c", "{processes}", "-Q", "{queues}"),
    *("-t", "8", "-l", "WARNING", "--max-tasks-per-child", "1000000"),
)

ROSTER: Final = (
    Peer(
        "headway",
        "headway",
        _HEADWAY,
        pace=25_000,
        own_processes=True,
        configuration="headway[all]: uvloop, hiredis; `headway worker`, concurrency 100, every default kept: "
        "leases, fencing, results and retention of 24 h; bulk is app.enqueue_many",
    ),
    Peer(
        "bullmq",
        "bullmq",
        ("worker.js",),
        pace=7_000,
        language="node",
        configuration="Node, ioredis; concurrency 100, removeOnComplete: true (nothing is kept of done jobs), other "
        "options as by default; one Worker a queue, one Node process a worker process; bulk is "
        "addBulk of 1,000",
    ),
    Peer(
        "arq",
        "arq",
        ("-m", "bench.peers.arq.worker"),
        pace=1_200,
        configuration="uvloop, hiredis; max_jobs 100, poll_delay 10 ms (the default of 500 ms is 50 times slower to"
        " pick up), keep_result 0, no result logging; bulk is 50 tasks at once, as there is no bulk "
        "call; one worker a queue in one process",
    ),
    Peer(
        "bullmq-python",
        "bullmq_python",
        ("-m", "bench.peers.bullmq_python.worker"),
        pace=1_100,
        configuration="uvloop, hiredis; concurrency 100, removeOnComplete: true; one Worker a queue in one process;"
        " bulk is addBulk of 1,000",
    ),
    Peer(
        "taskiq",
        "taskiq",
        (
            *("-m", "taskiq", "worker", "bench.peers.taskiq.tasks:broker", "--workers", "{processes}"),
            *("--max-async-tasks", "{concurrency}", "--log-level", "WARNING"),
        ),
        pace=2_000,
        own_processes=True,
        configuration="taskiq-redis, RedisStreamBroker; uvloop, hiredis; 100 tasks at once, acknowledged when done,"
        " no result backend but for the test of results; bulk is 50 tasks at once, as there is no "
        "bulk call",
    ),
    Peer(
        "streaq",
        "streaq",
        ("-m", "bench.peers.streaq.tasks"),
        pace=800,
        configuration="uvloop, coredis; concurrency 100, silent tasks, ttl 0; one worker a queue in one process; "
        "bulk is enqueue_many",
    ),
    Peer(
        "saq",
        "saq",
        ("-m", "bench.peers.saq.worker"),
        pace=1_300,
        configuration="uvloop, hiredis; concurrency 100, 200 operations at once (blocked reads count), no socket "
        "timeout, ttl -1 (no record of a job once it is done); one worker a queue in one process; "
        "bulk is 50 tasks at once, as there is no bulk call",
    ),
    Peer(
        "dramatiq",
        "dramatiq",
        ("-m", "dramatiq", "bench.peers.dramatiq.tasks", "--processes", "{processes}", "--threads", "64"),
        pace=3_000,
        own_processes=True,
        configuration="hiredis; 64 threads (half as fast again as the default of 8), no results but for the test of"
        " results; bulk is a loop of send",
    ),
    Peer(
        "celery",
        "celery",
        (
            *("-m", "celery", "--app", "bench.peers.celery.tasks", "worker", "--concurrency", "{processes}"),
            *("--queues", "{queues}", "--loglevel", "WARNING", "--prefetch-multiplier", "64"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ),
        pace=500,
        own_processes=True,
        acknowledges=False,
        configuration="hiredis; prefork, prefetch 64 a process, no gossip, mingle, heartbeat or events, "
        "acknowledged at the start as by default, no results but for the test of results; bulk shares"
        " one producer",
    ),
    Peer(
        "huey",
        "huey",
        (
            *("-m", "huey.bin.huey_consumer", "bench.peers.huey.tasks.huey", "-k", "process"),
            *("-w", "{processes}", "-q", "-g", "TERM"),
        ),
        pace=3_500,
        own_processes=True,
        multi_queue=False,
        acknowledges=False,
        configuration="RedisHuey, hiredis; one worker process a process; it acknowledges nothing; bulk is a loop of"
        " calls",
    ),
    Peer(
        "rq",
        "rq",
        (
            *(
                "-m",
                "rq.cli",
                "worker",
                "--quiet",
                "--worker-class",
                "rq.worker.SimpleWorker",
                "--url",
                "{url}",
            ),
            EACH_QUEUE,
        ),
        pace=400,
        configuration="hiredis; SimpleWorker (the default Worker forks for each job and is slower), result_ttl 0; "
        "bulk is enqueue_many",
    ),
    Peer(
        "potatoq",
        "potatoq",
        _POTATOQ,
        pace=2_000,
        own_processes=True,
        configuration="on Redis; 8 threads a process (nearly twice as fast as 1), recycling every 1,000 tasks "
        "turned off, results ignored but for the test of results; bulk is app.publish of 1,000 "
        "messages",
    ),
    Peer(
        "headway-sqlite",
        "headway",
        _HEADWAY,
        pace=10_000,
        carrier="sqlite",
        own_processes=True,
        configuration="headway[all] on sqlite://, WAL and synchronous=NORMAL as by default; otherwise as headway",
    ),
    Peer(
        "huey-sqlite",
        "huey",
        (
            *("-m", "huey.bin.huey_consumer", "bench.peers.huey.tasks.huey", "-k", "process"),
            *("-w", "{processes}", "-q", "-g", "TERM", "-d", "0.005", "-m", "0.01"),
        ),
        pace=1_500,
        carrier="sqlite",
        own_processes=True,
        multi_queue=False,
        acknowledges=False,
        configuration="SqliteHuey as by default (WAL); polls every 5 to 10 ms (0.1 to 10 s by default)",
    ),
    Peer(
        "potatoq-sqlite",
        "potatoq",
        _POTATOQ,
        pace=2_000,
        carrier="sqlite",
        own_processes=True,
        configuration="on SQLite as by default; otherwise as potatoq",
    ),
    Peer(
        "redis-limit",
        "redis_limit",
        ("-m", "bench.peers.redis_limit.worker"),
        pace=80_000,
        floor=True,
        multi_queue=False,
        configuration="not a peer but a limit: a hash a job, a list and a lease zset, 100 jobs a Lua call that "
        "settles and claims, no work in Python for a job; two client processes, so that Redis is what"
        " saturates",
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
