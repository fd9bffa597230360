"""What a job of Cloud Scheduler may be: checked as the API checks it, with the API's defaults filled in."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from headway.clock import duration_ms
from headway.emulator import headers
from headway.emulator.errors import ApiError, Code, invalid, refuse
from headway.emulator.masks import snake
from headway.emulator.model import RetryConfig as Backoff
from headway.emulator.scheduler.calls import USER_AGENT
from headway.emulator.scheduler.wire import HttpMethod, HttpTarget, Job, RetryConfig
from headway.emulator.urls import fault_of
from headway.errors import HeadwayError
from headway.schedules.schedule import Cron

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.emulator.wire import Message

_DESCRIPTION_CHARS: Final = 500
_URL_CHARS: Final = 2083
_JOB_BYTES: Final = 1024 * 1024
_MOST_RETRIES: Final = 5
_DEADLINES: Final = (timedelta(seconds=15), timedelta(minutes=30))
_DEFAULT_DEADLINE: Final = timedelta(minutes=3)
_DEFAULT_BACKOFFS: Final = (timedelta(seconds=5), timedelta(hours=1))
_DEFAULT_DOUBLINGS: Final = 5
_DEFAULT_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_MAY_HAVE_BODY: Final = frozenset({HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH})

# unix-cron has five fields of numbers, names, ranges, lists and steps. Ours knows more, which Google would refuse.
_VALUE: Final = r"(?:[0-9]+|[A-Za-z]{3})"
_ITEM: Final = rf"(?:\*|{_VALUE}(?:-{_VALUE})?)(?:/[0-9]+)?"
_FIELD: Final = rf"{_ITEM}(?:,{_ITEM})*"
_is_unix_cron: Final = re.compile(rf"{_FIELD}(?: {_FIELD}){{4}}").fullmatch
_is_topic: Final = re.compile(r"projects/[A-Za-z0-9:.\-]+/topics/[A-Za-z][A-Za-z0-9._~+%\-]{2,254}").fullmatch

_OUTPUT_ONLY: Final = frozenset(
    {"name", "user_update_time", "state", "status", "schedule_time", "last_attempt_time"}
)


def checked(job: Message, *, pubsub: bool) -> Message:
    """Return the job as the service would keep it: checked, with defaults, without what only the service says.

    INVALID_ARGUMENT names what is wrong, UNIMPLEMENTED what only the real service does. `pubsub`: whether there is a
    Pub/Sub emulator to publish to.
    """
    kept = Job(
        name=job.name,
        description=job.description,
        schedule=" ".join(job.schedule.split()),
        time_zone="UTC" if job.time_zone.lower() in {"", "utc"} else job.time_zone,
        retry_config=_retry_config(job.retry_config),
        attempt_deadline=_DEFAULT_DEADLINE,
    )
    match Job.pb(job).WhichOneof("target"):
        case "http_target":
            kept.http_target = _http_target(job.http_target)
            kept.attempt_deadline = _deadline(job.attempt_deadline)
        case "pubsub_target":
            kept.pubsub_target = _pubsub_target(job.pubsub_target, available=pubsub)
        case "app_engine_http_target":
            msg = "The emulator does not run App Engine targets; use an HTTP target."
            raise ApiError(Code.UNIMPLEMENTED, msg)
        case _:
            refuse("Job target must be set: one of http_target, pubsub_target.")
    if len(job.description) > _DESCRIPTION_CHARS:
        refuse(f"Job.description must be at most {_DESCRIPTION_CHARS} characters long.")
    schedule_of(kept)
    if len(Job.serialize(kept)) > _JOB_BYTES:
        refuse(f"The job is larger than {_JOB_BYTES} bytes.")
    return kept


def updated(current: Message, given: Message, mask: Sequence[str]) -> Message:
    """Return the current job with the fields that the mask names taken from the given one; not checked yet.

    An empty mask stands for the fields that the given job has set. INVALID_ARGUMENT when the mask names no field.
    """
    paths = [snake(path) for path in mask] or [
        field.name for field, _ in Job.pb(given).ListFields() if field.name not in _OUTPUT_ONLY
    ]
    if "*" in paths:
        paths = [name for name in Job.meta.fields if name not in _OUTPUT_ONLY]
    result = Job()
    Job.copy_from(result, current)
    for path in paths:
        first = path.partition(".")[0]
        if first not in Job.meta.fields:
            raise _no_field(path)
        if first not in _OUTPUT_ONLY:
            _assign(Job.pb(result), Job.pb(given), path)
    return result


def schedule_of(job: Message) -> Cron:
    """Return the times at which a job runs; INVALID_ARGUMENT when its schedule or its time zone is none."""
    if not _is_unix_cron(job.schedule):
        refuse(
            f'Schedule or time zone is invalid: "{job.schedule}" is not unix-cron, five fields such as "0 3 * * 1-5". '
            'The emulator does not know the schedules in words, such as "every 24 hours".'
        )
    try:
        return Cron(job.schedule, job.time_zone)
    except HeadwayError as error:
        refuse(f"Schedule or time zone is invalid: {error}")


def backoff_of(job: Message) -> Backoff:
    """Return the retry configuration; its `max_attempts` counts retries."""
    config = job.retry_config
    return Backoff(
        max_attempts=config.retry_count,
        max_duration_ms=duration_ms(config.max_retry_duration),
        min_backoff_ms=duration_ms(config.min_backoff_duration),
        max_backoff_ms=duration_ms(config.max_backoff_duration),
        max_doublings=config.max_doublings,
    )


def _retry_config(config: Message) -> Message:
    if not 0 <= config.retry_count <= _MOST_RETRIES:
        refuse(f"RetryConfig.retry_count must be between 0 and {_MOST_RETRIES}, got {config.retry_count}.")
    if config.max_doublings < 0:
        refuse("RetryConfig.max_doublings must not be negative.")
    least, most = _DEFAULT_BACKOFFS
    filled = RetryConfig(
        retry_count=config.retry_count,
        max_retry_duration=config.max_retry_duration or timedelta(),
        min_backoff_duration=config.min_backoff_duration or least,
        max_backoff_duration=config.max_backoff_duration or most,
        max_doublings=config.max_doublings or _DEFAULT_DOUBLINGS,
    )
    durations = (filled.max_retry_duration, filled.min_backoff_duration, filled.max_backoff_duration)
    if min(durations) < timedelta():
        refuse("The durations of RetryConfig must not be negative.")
    if filled.min_backoff_duration > filled.max_backoff_duration:
        refuse("RetryConfig.min_backoff_duration must not be larger than max_backoff_duration.")
    return filled


def _deadline(deadline: timedelta | None) -> timedelta:
    if not deadline:
        return _DEFAULT_DEADLINE
    least, most = _DEADLINES
    if not least <= deadline <= most:
        refuse(f"Job.attempt_deadline must be between 15s and 1800s, got {deadline.total_seconds():g}s.")
    return deadline


def _http_target(target: Message) -> Message:
    if fault := fault_of(target.uri):
        refuse(f'Invalid uri for HttpTarget.uri: {fault}; got "{target.uri}".')
    if len(target.uri) > _URL_CHARS:
        refuse(f"HttpTarget.uri must be at most {_URL_CHARS} characters long.")
    headers.check(target.headers.items(), "HttpTarget.headers")
    kept = HttpTarget(target)
    if kept.http_method == HttpMethod.HTTP_METHOD_UNSPECIFIED:
        kept.http_method = HttpMethod.POST
    if target.body and kept.http_method not in _MAY_HAVE_BODY:
        refuse(f"HTTP request body is not allowed with the method {kept.http_method.name}.")
    names = {name.lower() for name in target.headers}
    # The service shows the headers that it adds among those that were set.
    if target.body and "content-type" not in names:
        kept.headers["Content-Type"] = "application/octet-stream"
    for name in [name for name in kept.headers if name.lower() == "user-agent"]:
        del kept.headers[name]
    kept.headers["User-Agent"] = USER_AGENT
    match HttpTarget.pb(kept).WhichOneof("authorization_header"):
        case "oidc_token":
            _need_account(kept.oidc_token.service_account_email)
            kept.oidc_token.audience = kept.oidc_token.audience or target.uri
        case "oauth_token":
            _need_account(kept.oauth_token.service_account_email)
            kept.oauth_token.scope = kept.oauth_token.scope or _DEFAULT_SCOPE
        case _:
            pass
    return kept


def _need_account(email: str) -> None:
    if not email:
        refuse("The token's service_account_email must be set.")


def _pubsub_target(target: Message, *, available: bool) -> Message:
    if not _is_topic(target.topic_name):
        refuse(
            f'Topic name must be formatted: "projects/PROJECT_ID/topics/TOPIC_ID", got "{target.topic_name}".'
        )
    if not (target.data or target.attributes):
        refuse("Pubsub message must contain either non-empty data, or at least one attribute.")
    if not available:
        msg = "The emulator publishes to another emulator only: start this one with PUBSUB_EMULATOR_HOST set."
        raise ApiError(Code.UNIMPLEMENTED, msg)
    return target


def _assign(result: Message, given: Message, path: str) -> None:
    """Set one field, which may lie in messages within messages, as it is in `given`, or clear it."""
    *outer, last = path.split(".")
    for name in outer:
        field = result.DESCRIPTOR.fields_by_name.get(name)
        if field is None or field.message_type is None or field.is_repeated:
            raise _no_field(path)
        result, given = getattr(result, name), getattr(given, name)
    field = result.DESCRIPTOR.fields_by_name.get(last)
    if field is None:
        raise _no_field(path)
    result.ClearField(last)
    for present, value in given.ListFields():
        if present.name != last:
            continue
        if field.is_repeated or field.message_type is not None:
            getattr(result, last).MergeFrom(value)
        else:
            setattr(result, last, value)


def _no_field(path: str) -> ApiError:
    return invalid(f'Invalid field in the update mask: "{path}".')
