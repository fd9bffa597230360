"""arq's own words: its queue, the options of `enqueue_job`, and what they are called here."""

from __future__ import annotations

from typing import Final

ARQ_QUEUE: Final = "arq:queue"
"""The queue of whoever names none."""

POOL: Final = "redis"
"""The key of the dict under which arq keeps its pool."""

OPTIONS: Final = {
    "_job_id": "key",
    "_queue_name": "queue",
    "_defer_by": "delay",
    "_defer_until": "at",
    "_expires": "expires",
}
