"""The tests of the suite, in the order in which they are run."""

from __future__ import annotations

from typing import Final

from bench.measure import drain, enqueue, latency
from bench.measure.base import Test

_TAKES_PART_IN_BACKLOG: Final = ("headway", "bullmq", "redis-limit")

TESTS: Final = (
    Test("drain", "bulk enqueue, then one process drains; costs of a job", drain.drain, floor=True),
    Test("drain-2", "two processes drain", drain.two_processes, floor=True),
    Test("single", "enqueue one by one, asynchronous", enqueue.enqueue("single")),
    Test("concurrent", "100 single enqueues at once", enqueue.enqueue("concurrent")),
    Test("blocking", "enqueue one by one, blocking", enqueue.enqueue("blocking")),
    Test("pickup", "latency at 50 jobs/s", latency.quiet),
    Test("half", "latency at half load", latency.half_load, rounds=2),
    Test("result", "enqueue to result", latency.results, rounds=2),
)

ALIASES: Final = {"bulk": "drain", "latency": "pickup"}


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
