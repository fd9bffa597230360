"""What an attempt of a scheduled job sends, and the headers that the service adds. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import msgspec

from headway.clock import duration_ms, from_ms
from headway.emulator.headers import CLOUD_SCHEDULER, keepable
from headway.emulator.model import OAuthToken, OidcToken
from headway.emulator.names import short
from headway.emulator.scheduler.wire import HttpMethod, HttpTarget
from headway.emulator.target import HttpCall

if TYPE_CHECKING:
    from headway.emulator.credentials import Credentials
    from headway.emulator.wire import Message

USER_AGENT: Final = "Google-Cloud-Scheduler"


def call_for(
    job: Message,
    fire_ms: int,
    attempt: int,
    *,
    now_ms: int,
    credentials: Credentials,
    pubsub_host: str | None,
) -> HttpCall:
    """Return the request of the `attempt`-th attempt (from 1) for one time of the schedule."""
    if "pubsub_target" in job:
        return _publish(job, attempt, pubsub_host or "")
    target = job.http_target
    headers = keepable(target.headers, CLOUD_SCHEDULER) | {
        "User-Agent": USER_AGENT,
        "X-CloudScheduler": "true",
        "X-CloudScheduler-JobName": short(job.name),
        "X-CloudScheduler-ScheduleTime": _zulu(fire_ms),
    }
    headers = credentials.added(headers, target.uri, target.body, _token(target), now_ms=now_ms)
    return HttpCall(
        url=target.uri,
        method=HttpMethod(target.http_method).name,
        headers=headers,
        body=target.body,
        task=job.name,
        attempt=attempt,
        timeout_ms=duration_ms(job.attempt_deadline),
    )


def _publish(job: Message, attempt: int, host: str) -> HttpCall:
    """Return the call that publishes the job's message to a Pub/Sub emulator, which speaks plain HTTP."""
    target = job.pubsub_target
    message = {"data": base64.b64encode(target.data).decode(), "attributes": dict(target.attributes)}
    return HttpCall(
        url=f"http://{host}/v1/{target.topic_name}:publish",
        method="POST",
        headers={"Content-Type": "application/json"},
        body=msgspec.json.encode({"messages": [message]}),
        task=job.name,
        attempt=attempt,
        timeout_ms=duration_ms(job.attempt_deadline),
    )


def _token(target: Message) -> OidcToken | OAuthToken | None:
    match HttpTarget.pb(target).WhichOneof("authorization_header"):
        case "oidc_token":
            return OidcToken(target.oidc_token.service_account_email, target.oidc_token.audience)
        case "oauth_token":
            return OAuthToken(target.oauth_token.service_account_email, target.oauth_token.scope)
        case _:
            return None


def _zulu(instant_ms: int) -> str:
    return from_ms(instant_ms).strftime("%Y-%m-%dT%H:%M:%SZ")
