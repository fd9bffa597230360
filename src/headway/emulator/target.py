"""What a dispatch sends: the task's request with its queue's overrides, and the headers that the service adds. Pure."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from headway.emulator.model import OidcToken
from headway.emulator.names import queue_of, short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.emulator.model import HttpRequest, HttpTarget, OAuthToken, Task, UriOverride

USER_AGENT: Final = "Google-Cloud-Tasks"
SIGNATURE_HEADER: Final = "X-Headway-Signature"
METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_COMPUTED: Final = frozenset({"host", "content-length", "user-agent"})
_RESERVED: Final = ("x-google-", "x-appengine-", "x-cloudtasks-")


class Signer(Protocol):
    """Makes the tokens that tasks carry."""

    def sign(self, audience: str, email: str) -> str:
        """Return an OIDC token."""
        ...

    def access_token(self, email: str, scope: str) -> str:
        """Return an OAuth access token."""
        ...


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
    """What the target answered. Header names are in lower case."""

    status: int
    headers: dict[str, str] = {}


def keepable(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a caller may set: the others are replaced by the service."""
    return {
        name: value
        for name, value in headers.items()
        if (lower := name.lower()) not in _COMPUTED and not lower.startswith(_RESERVED)
    }


def overridden(request: HttpRequest, target: HttpTarget | None) -> HttpRequest:
    """Return the request with what the queue sets for all its tasks."""
    if target is None:
        return request
    method = target.method or request.method
    replaced = {name.lower() for name in target.headers}
    headers = {name: value for name, value in request.headers.items() if name.lower() not in replaced}
    return msgspec.structs.replace(
        request,
        url=override_url(request.url, target.uri),
        method=method,
        headers=headers | target.headers,
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
    signer: Signer | None,
    secret: bytes | None,
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
        if state.last.status is not None:
            headers["X-CloudTasks-TaskPreviousResponse"] = str(state.last.status)
        headers["X-CloudTasks-TaskRetryReason"] = state.last.message
    if signer is not None and request.token is not None:
        headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        headers["Authorization"] = f"Bearer {_token(signer, request.token, request.url)}"
    if secret is not None:
        headers[SIGNATURE_HEADER] = signature(secret, now_ms // 1000, request.body)
    return HttpCall(
        request.url, request.method, headers, request.body, task.name, retries + 1, task.spec.deadline_ms
    )


def _token(signer: Signer, token: OidcToken | OAuthToken, url: str) -> str:
    if isinstance(token, OidcToken):
        return signer.sign(token.audience or url, token.email)
    return signer.access_token(token.email, token.scope)


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """Return the value of the signature's header: the time, and the HMAC of time and body."""
    digest = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"
