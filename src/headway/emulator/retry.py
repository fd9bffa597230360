"""When a failed attempt is followed by another one. Pure."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from headway.clock import to_ms

if TYPE_CHECKING:
    from headway.emulator.model import Limits, Queue, RetryConfig, Task


def policy_of(queue: Queue, task: Task) -> RetryConfig:
    """Return the task's own configuration, else its queue's."""
    return queue.retry if task.spec.retry is None else task.spec.retry


def backoff_ms(config: RetryConfig, failures: int) -> int:
    """Return the pause after the n-th failure (from 1).

    It starts at `min_backoff`, doubles `max_doublings` times, then grows by the last step until `max_backoff`.
    """
    # 64 doublings are beyond any maximum; more would only make large numbers.
    doublings = min(config.max_doublings, 64)
    step = config.min_backoff_ms << doublings
    pause = (
        config.min_backoff_ms << (failures - 1)
        if failures - 1 <= doublings
        else step * (failures - doublings)
    )
    return min(pause, config.max_backoff_ms)


def gives_up(config: RetryConfig, task: Task, now_ms: int, limits: Limits) -> bool:
    """Tell whether a task that has just failed is deleted: *both* limits are reached, or its retention is over.

    A limit that is not set does not hold the other one back; with none set only the retention ends a task.
    """
    if now_ms - task.spec.created_ms >= limits.retention_ms:
        return True
    attempts_limited = config.max_attempts >= 0
    duration_limited = config.max_duration_ms > 0
    if not attempts_limited and not duration_limited:
        return False
    first = task.state.first_dispatch_ms
    tried_enough = task.state.dispatches >= config.max_attempts
    tried_long = first is not None and now_ms - first >= config.max_duration_ms
    return (tried_enough or not attempts_limited) and (tried_long or not duration_limited)


def retry_after_ms(header: str | None, now_ms: int, longest_ms: int) -> int:
    """Return how long a Retry-After header (seconds or an HTTP date) asks to wait; 0 when it says nothing usable."""
    if not header:
        return 0
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:12]) * 1000, longest_ms)
    try:
        wanted = to_ms(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError, IndexError):  # what comes from targets has any form
        return 0
    return max(0, min(wanted - now_ms, longest_ms))
