"""What a sender is answered.

Only 2xx ends a task. Anything else brings it back, and 429 and 503 slow its whole queue down: so they are never
the answer to what is wrong with one job.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from headway.brokers.base import PushResponse

if TYPE_CHECKING:
    from headway.guards.document import Document
    from headway.job import JobId

_LONGEST_WAIT_MS: Final = 60_000


def done(document: Document, *, superseded: bool = False) -> PushResponse:
    """The task ends: its job has ended, or its outcome came too late."""
    state = "removed" if document.removed else str(document.state)
    return answer(200, document.id, state, superseded=superseded)


def come_back(job_id: JobId, state: str, wait_ms: int) -> PushResponse:
    """The task is to come again, after a while."""
    seconds = max(1, -(-min(wait_ms, _LONGEST_WAIT_MS) // 1000))
    return answer(409, job_id, state, {"retry-after": str(seconds)})


def answer(
    status: int, job_id: JobId, state: str, headers: dict[str, str] | None = None, *, superseded: bool = False
) -> PushResponse:
    """Say what became of the job, for readers of the log of Cloud Tasks."""
    body: dict[str, object] = {"job": job_id, "state": str(state)}
    if superseded:
        body["superseded"] = True
    return PushResponse(
        status,
        {"content-type": "application/json", **(headers or {})},
        json.dumps(body).encode(),
        superseded=superseded,
    )
