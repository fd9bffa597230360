"""Between the API's protobuf messages and the model. The raw classes: proto-plus takes ten times as long."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headway.emulator import headers
from headway.emulator.errors import refuse
from headway.emulator.model import (
    Attempt,
    HttpRequest,
    HttpTarget,
    OAuthToken,
    OidcToken,
    Queue,
    QueueState,
    RateLimits,
    RetryConfig,
    Task,
    UriOverride,
)
from headway.emulator.target import USER_AGENT
from headway.emulator.wire import QueueMessage, TaskMessage

if TYPE_CHECKING:
    from headway.emulator.wire import Message

_Method: Final[Message] = (
    TaskMessage.DESCRIPTOR.fields_by_name["http_request"].message_type.fields_by_name["http_method"].enum_type
)

_METHODS: Final[dict[int, str]] = {value.number: value.name for value in _Method.values if value.number}
_METHOD_NUMBERS: Final = {name: number for number, name in _METHODS.items()}
_QUEUE_STATES: Final = {QueueState.RUNNING: 1, QueueState.PAUSED: 2}
_SCHEMES: Final = {1: "http", 2: "https"}
_SCHEME_NUMBERS: Final = {name: number for number, name in _SCHEMES.items()}
_IF_NOT_EXISTS: Final = 1
_LARGEST_PORT: Final = 65_535
BASIC: Final = 1
FULL: Final = 2


def duration_ms(duration: Message, field: str) -> int:
    """Milliseconds of a duration; INVALID_ARGUMENT when it is negative or malformed."""
    try:
        found: int = duration.ToTimedelta() // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as error:
        refuse(f"{field} is not a valid duration: {error}.")
    if found < 0:
        refuse(f"{field} must not be negative.")
    return found


def timestamp_us(instant: Message, field: str) -> int:
    """Microseconds since 1970 of an instant; INVALID_ARGUMENT when it is malformed."""
    try:
        return int(instant.ToMicroseconds())
    except ValueError as error:
        refuse(f"{field} is not a valid timestamp: {error}.")


def read_rate(message: Message) -> RateLimits:
    """Read limits; what is not set gets the service's default."""
    standard = RateLimits()
    return RateLimits(
        message.max_dispatches_per_second or standard.per_second,
        message.max_concurrent_dispatches or standard.concurrent,
    )


def read_retry(message: Message, *, no_doublings: bool = False) -> RetryConfig:
    """Read a retry configuration; what is not set gets the service's default.

    On the wire 0 doublings look like none given: `no_doublings` says that a mask asked for 0.
    """
    standard = RetryConfig()
    config = RetryConfig(
        max_attempts=message.max_attempts or standard.max_attempts,
        max_duration_ms=duration_ms(message.max_retry_duration, "RetryConfig.max_retry_duration"),
        min_backoff_ms=(
            duration_ms(message.min_backoff, "RetryConfig.min_backoff")
            if message.HasField("min_backoff")
            else standard.min_backoff_ms
        ),
        max_backoff_ms=(
            duration_ms(message.max_backoff, "RetryConfig.max_backoff")
            if message.HasField("max_backoff")
            else standard.max_backoff_ms
        ),
        max_doublings=(
            message.max_doublings if message.max_doublings or no_doublings else standard.max_doublings
        ),
    )
    if config.max_attempts < -1:
        refuse("RetryConfig.max_attempts must be -1 (without limit) or greater.")
    if config.max_doublings < 0:
        refuse("RetryConfig.max_doublings must not be negative.")
    if config.min_backoff_ms > config.max_backoff_ms:
        refuse("RetryConfig.min_backoff must not be greater than RetryConfig.max_backoff.")
    return config


def _write_retry(config: RetryConfig, message: Message) -> None:
    message.max_attempts = config.max_attempts
    message.max_doublings = config.max_doublings
    message.min_backoff.FromMilliseconds(config.min_backoff_ms)
    message.max_backoff.FromMilliseconds(config.max_backoff_ms)
    if config.max_duration_ms:
        message.max_retry_duration.FromMilliseconds(config.max_duration_ms)


def _read_token(message: Message, field: str) -> OidcToken | OAuthToken | None:
    match message.WhichOneof("authorization_header"):
        case "oidc_token":
            oidc = message.oidc_token
            token: OidcToken | OAuthToken = OidcToken(oidc.service_account_email, oidc.audience)
        case "oauth_token":
            oauth = message.oauth_token
            token = OAuthToken(oauth.service_account_email, oauth.scope)
        case _:
            return None
    if not token.email:
        refuse(f"{field}: a token needs a service_account_email.")
    return token


def _write_token(token: OidcToken | OAuthToken | None, message: Message) -> None:
    match token:
        case OidcToken():
            message.oidc_token.service_account_email = token.email
            message.oidc_token.audience = token.audience
        case OAuthToken():
            message.oauth_token.service_account_email = token.email
            message.oauth_token.scope = token.scope
        case None:
            pass


def read_request(message: Message) -> HttpRequest:
    """Read what a task sends; headers that callers may not set are left out."""
    return HttpRequest(
        url=message.url,
        method=_METHODS.get(message.http_method, "POST"),
        headers=headers.keepable(message.headers),
        body=message.body,
        token=_read_token(message, "HttpRequest"),
    )


def _read_uri(message: Message) -> UriOverride:
    return UriOverride(
        scheme=_SCHEMES.get(message.scheme, "https") if message.HasField("scheme") else None,
        host=message.host if message.HasField("host") else None,
        port=message.port if message.HasField("port") else None,
        path=message.path_override.path if message.HasField("path_override") else None,
        query=message.query_override.query_params if message.HasField("query_override") else None,
        if_missing=message.uri_override_enforce_mode == _IF_NOT_EXISTS,
    )


def read_target(message: Message) -> HttpTarget:
    """Read what a queue sets for all its tasks."""
    overrides = {entry.header.key: entry.header.value for entry in message.header_overrides}
    headers.check(overrides.items(), "HttpTarget.header_overrides")
    if message.uri_override.HasField("host") and not message.uri_override.host:
        refuse("UriOverride.host must not be empty.")
    if not 0 <= message.uri_override.port <= _LARGEST_PORT:
        refuse(f"UriOverride.port must be between 0 and {_LARGEST_PORT}.")
    return HttpTarget(
        uri=_read_uri(message.uri_override) if message.HasField("uri_override") else None,
        method=_METHODS.get(message.http_method),
        headers=headers.keepable(overrides),
        token=_read_token(message, "HttpTarget"),
    )


def _write_target(target: HttpTarget, message: Message) -> None:
    if target.uri is not None:
        uri, into = target.uri, message.uri_override
        into.SetInParent()
        if uri.scheme is not None:
            into.scheme = _SCHEME_NUMBERS[uri.scheme]
        if uri.host is not None:
            into.host = uri.host
        if uri.port is not None:
            into.port = uri.port
        if uri.path is not None:
            into.path_override.path = uri.path
        if uri.query is not None:
            into.query_override.query_params = uri.query
        into.uri_override_enforce_mode = _IF_NOT_EXISTS if uri.if_missing else 2
    if target.method is not None:
        message.http_method = _METHOD_NUMBERS[target.method]
    for name, value in target.headers.items():
        header = message.header_overrides.add().header
        header.key, header.value = name, value
    _write_token(target.token, message)


def queue_message(queue: Queue) -> Message:
    """Return the queue as the API shows it."""
    message = QueueMessage(name=queue.name, state=_QUEUE_STATES[queue.state])
    message.rate_limits.max_dispatches_per_second = queue.rate.per_second
    message.rate_limits.max_burst_size = queue.rate.burst
    message.rate_limits.max_concurrent_dispatches = queue.rate.concurrent
    _write_retry(queue.retry, message.retry_config)
    if queue.target is not None:
        message.http_target.SetInParent()
        _write_target(queue.target, message.http_target)
    if queue.sampling_ratio is not None:
        message.stackdriver_logging_config.sampling_ratio = queue.sampling_ratio
    if queue.purged_ms is not None:
        message.purge_time.FromMilliseconds(queue.purged_ms)
    return message


def _write_attempt(attempt: Attempt, message: Message) -> None:
    message.schedule_time.FromMicroseconds(attempt.schedule_us)
    message.dispatch_time.FromMilliseconds(attempt.dispatched_ms)
    if attempt.responded_ms is not None:
        message.response_time.FromMilliseconds(attempt.responded_ms)
        message.response_status.code = attempt.code
        message.response_status.message = attempt.message


def task_message(task: Task, view: int) -> Message:
    """Return the task as the API shows it: the body only in the FULL view."""
    spec, state = task.spec, task.state
    message = TaskMessage(
        name=spec.name,
        dispatch_count=state.dispatches,
        response_count=state.responses,
        view=FULL if view == FULL else BASIC,
    )
    message.create_time.FromSeconds(spec.created_ms // 1000)
    message.schedule_time.FromMicroseconds(state.schedule_us)
    message.dispatch_deadline.FromMilliseconds(spec.deadline_ms)
    _write_request(spec.request, message.http_request, full=view == FULL)
    if state.first_dispatch_ms is not None:
        message.first_attempt.dispatch_time.FromMilliseconds(state.first_dispatch_ms)
    if state.last is not None:
        _write_attempt(state.last, message.last_attempt)
    if spec.retry is not None:
        _write_retry(spec.retry, message.retry_config)
    return message


def _write_request(request: HttpRequest, message: Message, *, full: bool) -> None:
    message.url = request.url
    message.http_method = _METHOD_NUMBERS[request.method]
    message.headers.update({**request.headers, "User-Agent": USER_AGENT})
    if full:
        message.body = request.body
    _write_token(request.token, message)
