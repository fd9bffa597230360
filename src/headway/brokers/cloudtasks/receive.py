"""From a request to a delivery; see `answers` for what a sender is told when there is none."""

from __future__ import annotations

import hashlib
import logging
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final, assert_never
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from headway.brokers.base import FireCall, PushResponse
from headway.brokers.cloudtasks import message
from headway.brokers.cloudtasks.answers import answer, come_back, done
from headway.brokers.cloudtasks.auth.verifier import UnverifiedError
from headway.clock import to_ms
from headway.codec import encode_history
from headway.errors import CodecError
from headway.guards.beginning import Started
from headway.guards.transitions import Behind, Busy, Complete
from headway.job import AttemptError, Delivery, JobId, JobState, id_instant_ms, new_job_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import PushRequest
    from headway.brokers.cloudtasks.auth.verifier import Verifier
    from headway.brokers.cloudtasks.settle import Settling
    from headway.clock import Clock
    from headway.guards.document import PushedJob
    from headway.guards.guard import Guard
    from headway.job import WorkerId

_log = logging.getLogger("headway.push")

FIRE_TYPE: Final = "application/vnd.headway.fire+json"
_KEPT_BODY: Final = 64 * 1024  # bytes of a body that cannot be read, kept for people to look at
_NEWER_S: Final = 60  # seconds until a message of a newer version comes back
_NEWER_TRIES: Final = 1440  # answers after which nobody will read it: a day of them
_LONGEST_COUNT: Final = 12  # digits
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_QUEUE: Final = re.compile(r"[^,{}\x00-\x1f\x7f]{1,100}")


class _Fire(Struct, frozen=True):
    namespace: str
    schedule: str


_FIRE: Final = msgspec.json.Decoder(_Fire).decode


async def admitted(verifier: Verifier, headers: Mapping[str, str]) -> PushResponse | None:
    """Return what a sender is refused with by its headers alone; see PushBroker."""
    try:
        await verifier.admit(headers)
    except UnverifiedError as error:
        return _refused(error)
    return None


class Receiving:
    """The receiving half of the carrier."""

    def __init__(
        self,
        *,
        namespace: str,
        guard: Guard,
        verifier: Verifier,
        settling: Settling,
        clock: Clock,
        remembered_ms: int,
    ) -> None:
        """For `remembered_ms` behind its end the guard knows each job."""
        self._remembered_ms = remembered_ms
        self._namespace = namespace
        self._guard = guard
        self._verifier = verifier
        self.settling = settling
        self._clock = clock

    async def receive(
        self, request: PushRequest, *, worker: WorkerId, lease_ms: int, queues: frozenset[str]
    ) -> Delivery | FireCall | PushResponse:
        """Verify, read, begin; see PushBroker."""
        try:
            await self._verifier.verify(request)
        except UnverifiedError as error:
            return _refused(error)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FIRE_TYPE:
            return self._fire(request)
        try:
            namespace, pushed = message.decode(request.body)
        except CodecError as error:
            return await self._unreadable(request, error)
        if namespace != self._namespace:
            return self._other_app(namespace)
        if queues and pushed.job.queue not in queues:
            _log.error(
                "job %s: its queue %r is not served here: one of the targets is wrong; it will come back",
                pushed.job.id,
                pushed.job.queue,
            )
            return PushResponse(404, {"retry-after": "60"})
        return await self._begin(pushed, worker, lease_ms, _count(request, "x-cloudtasks-taskretrycount"))

    async def _begin(
        self, pushed: PushedJob, worker: WorkerId, lease_ms: int, retries: int
    ) -> Delivery | PushResponse:
        begun = await self._guard.begin(pushed, worker=worker, lease_ms=lease_ms)
        match begun:
            case Started(delivery=delivery):
                if delivery.lease.epoch == 1 and retries:
                    self._doubt(pushed, retries)
                return delivery
            case Busy(retry_in_ms=retry_in_ms):
                return come_back(pushed.job.id, JobState.RUNNING, retry_in_ms)
            case Complete(document=document):
                return done(document)
            case Behind(next=following):
                return await self.settling.follow(following)
            case _:
                assert_never(begun)

    def _doubt(self, pushed: PushedJob, retries: int) -> None:
        """Say so when it may have run, and been forgotten: its task was sent before, and longer ago than that.

        It may as well never have come as far as the guard, in an outage of the receivers: then nobody else runs it.
        """
        job = pushed.job
        hours = (self._clock.now_ms() - max(id_instant_ms(job.id), job.due_ms or 0)) / 3_600_000
        if hours * 3_600_000 > self._remembered_ms:
            _log.warning(
                "job %s: begins %.0f h behind its time, after %d earlier deliveries of which nothing is known now. "
                "If its queue was paused for longer than finished jobs are kept, it may run for the second time",
                job.id,
                hours,
                retries,
            )

    async def _unreadable(self, request: PushRequest, error: CodecError) -> PushResponse:
        """Keep it in the dead-letter state: it would come back for ever, and be as unreadable."""
        tries = _count(request, "x-cloudtasks-taskexecutioncount")
        if isinstance(error, message.NewerMessageError) and tries < _NEWER_TRIES:
            _log.error("%s; the task waits for a receiver of that version", error)
            return PushResponse(409, {"retry-after": str(_NEWER_S)})
        job_id = _id_of(request, self._clock.now_ms())
        named = unquote(request.headers.get("x-headway-queue", ""))
        queue = named or request.headers.get("x-cloudtasks-queuename", "")
        if not _QUEUE.fullmatch(queue) or queue.startswith(":"):
            queue = "unreadable"
        now = self._clock.now_ms()
        history = encode_history([AttemptError(1, now, "MalformedMessage", str(error))])
        await self._guard.reject(job_id, queue, request.body[:_KEPT_BODY], history)
        _log.error("a task's body goes to the dead-letter state as job %s: %s", job_id, error)
        return answer(200, job_id, JobState.FAILED)

    def _fire(self, request: PushRequest) -> FireCall | PushResponse:
        try:
            fire = _FIRE(request.body)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            _log.error("a call of a scheduler is dropped: its body cannot be read: %s", error)
            return PushResponse(200)
        if fire.namespace != self._namespace:
            return self._other_app(fire.namespace)
        return FireCall(fire.schedule, _instant(request.headers.get("x-cloudscheduler-scheduletime")))

    def _other_app(self, namespace: str) -> PushResponse:
        _log.error(
            "a task of app %r came to the receiver of app %r: one of their targets is wrong; it will come back",
            namespace[:100],
            self._namespace,
        )
        return PushResponse(404, {"retry-after": "60"})


def _refused(error: UnverifiedError) -> PushResponse:
    _log.warning("a request is refused with %d: %s", error.status, error)
    return PushResponse(error.status)


def _id_of(request: PushRequest, now_ms: int) -> JobId:
    """The same id for each delivery of one task, as far as its headers tell; bounds what a broken sender can fill."""
    name = request.headers.get("x-cloudtasks-taskname")
    if name is None:
        return new_job_id()
    try:
        eta_ms = min(max(0, round(float(request.headers.get("x-cloudtasks-tasketa", "")) * 1000)), now_ms)
    except (ValueError, OverflowError):
        eta_ms = 0
    digest = hashlib.blake2b(name.encode() + b"\0" + request.body, digest_size=7).digest()
    value = eta_ms << 52 | int.from_bytes(digest) >> 4
    return JobId("".join(_ALPHABET[value >> shift & 31] for shift in range(95, -1, -5)))


def _instant(text: str | None) -> int | None:
    """Epoch milliseconds of an RFC 3339 instant; None when there is none or it is damaged."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
        return to_ms(instant)
    except (OverflowError, ValueError):
        return None


def _count(request: PushRequest, header: str) -> int:
    """Read a number that Cloud Tasks counts; 0 when it says none."""
    text = request.headers.get(header, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _LONGEST_COUNT else 0
