"""Where a job's task goes: its queue in Cloud Tasks, the receiver's URL, the deadline, the headers, the signature."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from headway.brokers.cloudtasks.api.names import queue_id, task_id
from headway.brokers.cloudtasks.api.resources import TaskSpec
from headway.brokers.cloudtasks.auth.hmac import sign_until
from headway.brokers.cloudtasks.message import CONTENT_TYPE, encode
from headway.codec import decode_call, is_reference
from headway.errors import CodecError, ConfigError
from headway.job import PRIORITY_MAX, PRIORITY_MIN, SHADOW_TASK
from headway.offload.payloads import read_reference
from headway.settingtext import first
from headway.text import redact

if TYPE_CHECKING:
    from headway.brokers.base import BrokerSettings
    from headway.guards.document import PushedJob

DEADLINE_LEAST_MS: Final = 15_000  # both by Cloud Tasks
DEADLINE_MOST_MS: Final = 30 * 60_000
MARGIN_MS: Final = 30_000
"""From the time limit of a job to the dispatch deadline: to end it and to answer takes time as well."""

_KEPT_MS: Final = 31 * 24 * 3600 * 1000  # from its due time, a task that is not done

HEADER_JOB: Final = "X-Headway-Job"
HEADER_TASK: Final = "X-Headway-Task"
HEADER_QUEUE: Final = "X-Headway-Queue"
HEADER_TURN: Final = "X-Headway-Turn"
HEADER_EXPIRES: Final = "X-Headway-Expires"
HEADER_SIGNATURE: Final = "X-Headway-Signature"
TRACEPARENT: Final = "traceparent"


class Target:
    """What the settings say of every task."""

    def __init__(self, settings: BrokerSettings) -> None:
        """ConfigError names the setting that is wrong."""
        options = settings.options
        self.namespace = settings.namespace
        self.service_account = first(options.service_account)
        self._url = _checked_url("target", options.target) if options.target else ""
        self._urls = {queue: _checked_url(f"targets.{queue}", url) for queue, url in options.targets.items()}
        self._audience = options.audience
        self._secret = first(options.push_secret).encode()
        self._timeout_ms = settings.timeout_ms
        self._timeouts = settings.timeouts
        self.bands = _checked_bands(tuple(options.priority_bands))

    def queue_id(self, queue: str, priority: int) -> str:
        """Return the Cloud Tasks queue of a job."""
        return queue_id(self.namespace, queue, bisect_right(self.bands, priority))

    def queue_ids(self, queue: str) -> list[str]:
        """Return the Cloud Tasks queues of all bands."""
        return [queue_id(self.namespace, queue, band) for band in range(len(self.bands) + 1)]

    def task_id(self, pushed: PushedJob) -> str:
        """Return the name of the task that carries this turn."""
        return task_id(self.namespace, pushed.job.id, pushed.turn)

    def check_any(self) -> None:
        """ConfigError when no receiver is known at all: a receiver makes the tasks of retries."""
        if not self._url and not self._urls:
            msg = (
                "a receiver makes the tasks of retries: set `target` (HEADWAY_TARGET), or `targets` by queue"
            )
            raise ConfigError(msg)

    def check(self, queue: str) -> str:
        """Return the URL of the queue's receiver; ConfigError when none is known."""
        url = self._urls.get(queue, self._url)
        if not url:
            msg = (
                f"queue {queue!r}: no receiver is known; set `target` (HEADWAY_TARGET), or `targets` by queue"
            )
            raise ConfigError(msg)
        return url

    def spec(self, pushed: PushedJob, now_ms: int) -> TaskSpec:
        """Return the task that carries this turn; ConfigError when no receiver is known."""
        job = pushed.job
        url = self.check(job.queue)
        body = encode(self.namespace, pushed)
        timeout_ms, traceparent = _call_of(job.payload)
        default_ms = self._timeouts.get(job.task.removeprefix(SHADOW_TASK), self._timeout_ms)
        headers = {
            "Content-Type": CONTENT_TYPE,
            HEADER_JOB: job.id,
            HEADER_TASK: quote(job.task, safe=_SAFE),
            HEADER_QUEUE: quote(job.queue, safe=_SAFE),
            HEADER_TURN: str(pushed.turn),
        }
        if job.expires_ms is not None:
            headers[HEADER_EXPIRES] = str(job.expires_ms)
        if traceparent:
            headers[TRACEPARENT] = traceparent
        if self._secret:
            headers[HEADER_SIGNATURE] = sign_until(self._secret, body, _good_until_s(job.due_ms, now_ms))
        return TaskSpec(
            id=self.task_id(pushed),
            url=url,
            headers=headers,
            body=body,
            due_ms=job.due_ms if job.due_ms is not None and job.due_ms > now_ms else None,
            deadline_ms=deadline_ms(timeout_ms or default_ms),
            service_account=self.service_account,
            audience=(self._audience or url) if self.service_account else "",
        )


def _good_until_s(due_ms: int | None, now_ms: int) -> int:
    """A task may wait and come again for as long as Cloud Tasks keeps it: its signature must last."""
    return (max(due_ms or 0, now_ms) + _KEPT_MS) // 1000


def deadline_ms(timeout_ms: int) -> int:
    """Return the dispatch deadline of a job with this time limit."""
    return max(DEADLINE_LEAST_MS, min(timeout_ms + MARGIN_MS, DEADLINE_MOST_MS))


def _call_of(payload: bytes) -> tuple[int, str]:
    """Return the time limit that a call carries, in ms, and its trace context; 0 and "" when it has none."""
    try:
        if is_reference(payload):
            reference = read_reference(payload)
            timeout_ms, traceparent = reference.timeout_ms, reference.traceparent
        else:
            call, _ = decode_call(payload)
            timeout_ms, traceparent = call.timeout_ms, call.headers.get(TRACEPARENT, "")
    except CodecError:
        return 0, ""  # its run reports that
    if not (traceparent.isascii() and traceparent.isprintable()):
        traceparent = ""
    return timeout_ms, traceparent


def _checked_url(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc or parts.fragment:
        msg = f"{name}: must be the URL of a receiver, https://..., got {redact(url)!r}"
        raise ConfigError(msg)
    return url


def _checked_bands(bands: tuple[int, ...]) -> tuple[int, ...]:
    if list(bands) != sorted(set(bands)) or not all(PRIORITY_MIN < band <= PRIORITY_MAX for band in bands):
        msg = (
            f"priority_bands: must be priorities from {PRIORITY_MIN + 1} to {PRIORITY_MAX}, each higher than the one "
            f"before, got {list(bands)}"
        )
        raise ConfigError(msg)
    return bands


_SAFE: Final = "!#$&'()*+-./:;<=>?@[]^_`|~"  # what a header's value may hold; the percent sign is the escape
