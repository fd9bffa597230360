"""The tests of the suite, in the order in which they are run."""

from __future__ import annotations

from typing import Final

from bench.measure import delays, drain, enqueue, features, latency, payloads, resources
from bench.measure.base import Test

_HEADWAY: Final = ("headway", "headway-sqlite")
_LIMITS: Final = ("redis-limit", "redis-floor")
_RENEWING: Final = ("headway", "bullmq", "bullmq-python", "streaq")

TESTS: Final = (
    Test(
        "drain",
        "bulk enqueue, then one process drains; what a job costs",
        drain.drain,
        floor=True,
        again=(
            *_HEADWAY,
            *_LIMITS,
            "bullmq",
            "arq",
            "taskiq",
            "dramatiq",
            "huey",
            "huey-sqlite",
            "potatoq-sqlite",
        ),
    ),
    Test(
        "drain-2",
        "two processes drain",
        drain.two_processes,
        floor=True,
        again=(*_HEADWAY, *_LIMITS, "bullmq", "taskiq", "dramatiq"),
    ),
    Test(
        "enqueue",
        "single enqueues: one by one, 100 at once, blocking",
        enqueue.enqueues,
        again=(
            *_HEADWAY,
            "bullmq",
            "saq",
            "bullmq-python",
            "huey",
            "dramatiq",
            "huey-sqlite",
            "potatoq-sqlite",
        ),
    ),
    Test(
        "pickup",
        "latency at 50 jobs/s",
        latency.quiet,
        again=(
            *_HEADWAY,
            "bullmq",
            "bullmq-python",
            "huey",
            "taskiq",
            "saq",
            "huey-sqlite",
            "potatoq-sqlite",
        ),
    ),
    Test(
        "dict",
        "jobs that carry a dict",
        payloads.payload("dict", payloads.RECORD),
        again=(*_HEADWAY, "bullmq"),
    ),
    Test("nested", "jobs that carry a nested dict", payloads.payload("nested", payloads.NESTED), rounds=1),
    *(
        Test(
            kind,
            f"jobs that carry a {kind}",
            payloads.payload(kind, payloads.RECORD),
            rounds=1,
            peers=_HEADWAY,
        )
        for kind in ("dataclass", "struct", "pydantic")
    ),
    Test("half", "latency at half load", latency.half_load, rounds=1),
    Test("result", "enqueue to result", latency.results, rounds=1),
    Test("drain-sleep", "jobs that sleep 1 ms", drain.sleeping, rounds=1),
    Test("drain-cpu", "jobs of 1 ms CPU", drain.spinning, rounds=1),
    Test("drain-cpu-2", "jobs of 1 ms CPU, two processes", drain.spinning_two, rounds=1),
    Test("drain-10k", "jobs of 10 KB", drain.ten_kilobytes, rounds=1),
    Test("delayed", "how late delayed jobs start", delays.lateness, rounds=1),
    Test("idle-11", "an idle worker of 11 queues", resources.idle, rounds=1, redis_only=True),
    Test("queues-11", "a drain of 11 queues", drain.many_queues(11), rounds=1),
    Test(
        "queues-200",
        "one queue, then 200 queues",
        drain.many_queues(1, 200),
        peers=("headway", "bullmq", "headway-sqlite"),
    ),
    Test(
        "backlog",
        "10,000 wait, then 100,000",
        drain.backlogs({"backlog-10k": 10_000, "backlog-100k": 100_000}, 30_000),
        rounds=1,
        peers=("bullmq",),
    ),
    Test(
        "backlog-1m",
        "10,000 wait, then 100,000, then 1,000,000",
        drain.backlogs({"backlog-10k": 10_000, "backlog-100k": 100_000, "backlog-1m": 1_000_000}, 30_000),
        peers=("headway", "redis-limit"),
    ),
    Test(
        "stampede",
        "100,000 delayed jobs come due",
        delays.stampede,
        rounds=1,
        peers=("headway", "bullmq", "headway-sqlite"),
    ),
    Test("lease", "1,000 jobs run", resources.leases, rounds=1, peers=_RENEWING),
    Test("features", "what features cost", features.features, rounds=2, peers=_HEADWAY),
    Test("cron", "how late cron jobs start", delays.cron, rounds=1, peers=_HEADWAY),
)

ALIASES: Final = {
    "bulk": "drain",
    "single": "enqueue",
    "concurrent": "enqueue",
    "blocking": "enqueue",
    "latency": "pickup",
    "connections": "idle-11",
    "delayed-100k": "stampede",
}


def find_tests(names: str | None) -> list[Test]:
    """Return the tests of a comma-separated list, or all; ValueError names the ones there are."""
    if not names:
        return list(TESTS)
    known = {test.name: test for test in TESTS}
    wanted = [ALIASES.get(name, name) for name in filter(None, names.split(","))]
    for name in wanted:
        if name not in known:
            msg = f"there is no test {name!r}; there are: {', '.join(known)}"
            raise ValueError(msg)
    return [test for test in TESTS if test.name in wanted]
