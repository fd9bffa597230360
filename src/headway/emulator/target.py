"""What a dispatch sends: the task's request with its queue's overrides, and the headers that the service adds. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from headway.emulator.errors import Code
from headway.emulator.headers import replaced
from headway.emulator.names import queue_of, short

if TYPE_CHECKING:
    from headway.emulator.credentials import Credentials
    from headway.emulator.model import HttpRequest, HttpTarget, Task, UriOverride

_MISSED: Final = 504  # what a dispatch without an answer in its time counts as
USER_AGENT: Final = "Google-Cloud-Tasks"
METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class HttpCall(Struct, frozen=True):
    """A request as it goes out. `task` and `attempt` (from 1) say whose; the answer may take `timeout_ms`."""

    url: str
    method: str
    headers: dict[str, str]
    body: bytes
    task: str
    attempt: int
    timeout_ms: int


class HttpAnswer(Struct, frozen=True):
    """What the target answered: header names in lower case, and the beginning of the body."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


def overridden(request: HttpRequest, target: HttpTarget | None) -> HttpRequest:
    """Return the request with what the queue sets for all its tasks."""
    if target is None:
        return request
    method = target.method or request.method
    return msgspec.structs.replace(
        request,
        url=override_url(request.url, target.uri),
        method=method,
        headers=replaced(request.headers, target.headers),
        body=request.body if method in METHODS_WITH_BODY else b"",
        token=target.token or request.token,
    )


def override_url(url: str, override: UriOverride | None) -> str:
    """Return the URL with the queue's parts in it."""
    if override is None:
        return url
    parts = urlsplit(url)
    if override.if_missing and parts.hostname:
        return url
    host, port = parts.hostname or "", parts.port
    if override.host:
        host = override.host
    if override.port is not None:
        port = override.port or None
    if ":" in host:
        host = f"[{host}]"
    return urlunsplit(
        (
            override.scheme or parts.scheme or "https",  # a buffered task has none
            host if port is None else f"{host}:{port}",
            parts.path if override.path is None else override.path,
            parts.query if override.query is None else override.query,
            "",
        )
    )


def call_for(
    task: Task,
    request: HttpRequest,
    *,
    retries: int,
    now_ms: int,
    credentials: Credentials,
) -> HttpCall:
    """Return the request of an attempt; `retries` is the number of attempts before it."""
    state = task.state
    headers = dict(request.headers)
    if request.body and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/octet-stream"
    headers |= {
        "User-Agent": USER_AGENT,
        "X-CloudTasks-QueueName": short(queue_of(task.name)),
        "X-CloudTasks-TaskName": short(task.name),
        "X-CloudTasks-TaskRetryCount": str(retries),
        "X-CloudTasks-TaskExecutionCount": str(state.executions),
        "X-CloudTasks-TaskETA": f"{state.schedule_us // 1_000_000}.{state.schedule_us % 1_000_000:06d}",
    }
    if retries and state.last is not None and state.last.responded_ms is not None:
        previous = _MISSED if state.last.code == Code.DEADLINE_EXCEEDED else state.last.status
        if previous is not None:
            headers["X-CloudTasks-TaskPreviousResponse"] = str(previous)
        headers["X-CloudTasks-TaskRetryReason"] = ""  # the service says none for HTTP targets
    headers = credentials.added(headers, request.url, request.body, request.token, now_ms=now_ms)
    return HttpCall(
        request.url, request.method, headers, request.body, task.name, retries + 1, task.spec.deadline_ms
    )
