"""Settle a hundred and claim the next hundred, in one Lua call, over and over; no work in Python for a job."""

from __future__ import annotations

import time

import redis

from bench.inside.recorder import SETTINGS, record
from bench.peers.redis_limit.scripts import SETTLE_AND_CLAIM

_BATCH = 100
_LEASE = 15.0
_IDLE = 0.01


def _serve() -> None:
    client = redis.Redis.from_url(SETTINGS.url)
    script = client.register_script(SETTLE_AND_CLAIM)
    ids: list[bytes] = []
    while True:
        ids, _ = script(keys=[SETTINGS.queues[0]], args=[time.time() + _LEASE, _BATCH, *ids])
        if not ids:
            time.sleep(_IDLE)
        for each in ids:
            record(int(each))


if __name__ == "__main__":
    _serve()
