"""Tasks and queues of the API as plain data."""

from __future__ import annotations

from msgspec import Struct


class TaskSpec(Struct, frozen=True):
    """A task to create. Back-offs are those between deliveries that were not answered with 2xx, in seconds."""

    id: str
    url: str
    headers: dict[str, str]
    body: bytes
    due_ms: int | None
    deadline_ms: int
    service_account: str = ""
    audience: str = ""
    min_backoff_s: int = 1
    max_backoff_s: int = 60
    max_doublings: int = 6


class RemoteTask(Struct, frozen=True):
    """A task that waits or is being dispatched. Header names are in lower case; `body` is empty unless asked for."""

    queue_id: str
    id: str
    due_ms: int
    dispatches: int
    headers: dict[str, str]
    body: bytes


class RemoteQueue(Struct, frozen=True):
    """A queue of the location."""

    id: str
    paused: bool
