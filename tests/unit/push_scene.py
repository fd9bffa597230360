"""A push carrier that only notes what it is asked, and a sender that speaks ASGI to a receiver."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

from headway.brokers.base import Capabilities, GuardStats, LeaseState, PushResponse, SettleResult
from headway.codec import Codec
from headway.errors import CodecError
from headway.job import Delivery, JobId, Lease, Released, WorkerId, new_job_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import FireCall, PushCarrier, PushRequest, Report
    from headway.job import Outcome
    from headway.push import Receiver


class FakePush:
    """Every request body is the name of a task; what was received, settled, extended and reported is kept."""

    def __init__(self) -> None:
        self.requests: list[PushRequest] = []
        self.outcomes: dict[str, list[Outcome]] = {}
        self.extended: list[list[JobId]] = []
        self.reports: list[Report] = []
        self.lease_state = LeaseState.HELD
        self.superseded = False
        self.receive_errors: deque[BaseException] = deque()
        self.answer_errors: deque[BaseException] = deque()
        self.extend_errors: deque[BaseException] = deque()
        self.instead: PushResponse | FireCall | None = None
        self.admitted: list[Mapping[str, str]] = []
        self.refusal: PushResponse | None = None
        self.queues: frozenset[str] = frozenset()
        self.handed_out: list[JobId] = []
        self.damaged: set[JobId] = set()  # jobs whose lease cannot be renewed
        self.open_gate: asyncio.Event | None = None
        self.prepare_gate: asyncio.Event | None = None
        self.opened = 0
        self.closed = 0
        self.extended_once = asyncio.Event()

    @property
    def carrier(self) -> PushCarrier:
        return cast("PushCarrier", self)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("fake", push=self.carrier)

    async def open(self) -> None:
        self.opened += 1
        if self.open_gate is not None:
            await self.open_gate.wait()

    async def close(self) -> None:
        self.closed += 1

    async def enqueue(self, jobs: Sequence[Any]) -> list[Any]:
        raise NotImplementedError

    async def prepare_receiving(self) -> None:
        if self.prepare_gate is not None:
            await self.prepare_gate.wait()

    async def admit(self, headers: Mapping[str, str]) -> PushResponse | None:
        self.admitted.append(headers)
        return self.refusal

    def sums(self, headers: Mapping[str, str]) -> None:
        del headers

    async def receive(
        self, request: PushRequest, *, worker: WorkerId, lease_ms: int, queues: frozenset[str]
    ) -> Delivery | FireCall | PushResponse:
        self.requests.append(request)
        self.queues = queues
        if self.receive_errors:
            raise self.receive_errors.popleft()
        if self.instead is not None:
            return self.instead
        task = request.body.decode()
        payload = Codec().encode_call(task, [], {})
        self.handed_out.append(new_job_id())
        return Delivery(Lease(self.handed_out[-1], worker, 1), task, "default", payload, 5, 1, 0)

    async def answer(self, delivery: Delivery, outcome: Outcome) -> PushResponse:
        if self.answer_errors:
            raise self.answer_errors.popleft()
        self.outcomes.setdefault(delivery.task, []).append(outcome)
        return PushResponse(409 if isinstance(outcome, Released) else 200, superseded=self.superseded)

    async def extend(self, leases: Sequence[Lease], lease_ms: int) -> list[LeaseState]:
        if self.extend_errors:
            raise self.extend_errors.popleft()
        if self.damaged & {lease.job_id for lease in leases}:
            msg = "an entry is damaged"
            raise CodecError(msg)
        self.extended.append([lease.job_id for lease in leases])
        self.extended_once.set()
        return [self.lease_state] * len(leases)

    def guard_stats(self) -> GuardStats:
        return GuardStats(jobs=4, commands=10, superseded=1)

    async def report(self, reports: Sequence[Report]) -> list[SettleResult]:
        self.reports += reports
        return [SettleResult(report.lease.job_id, applied=True) for report in reports]

    def the_outcome(self, task: str) -> Outcome:
        [outcome] = self.outcomes[task]
        return outcome


@dataclass
class Answer:
    """What the sender got."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Call:
    """One request to a receiver."""

    def __init__(
        self,
        receiver: Receiver,
        body: bytes = b"",
        *,
        method: str = "POST",
        path: str = "/",
        headers: Sequence[tuple[bytes, bytes]] = (),
        http_version: str = "1.1",
    ) -> None:
        self._receiver = receiver
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": http_version,
            "method": method,
            "path": path,
            "raw_path": path.encode(errors="surrogatepass"),
            "query_string": b"",
            "headers": list(headers),
        }
        self._body = body
        self.sent: list[dict[str, Any]] = []
        self.task: asyncio.Task[None] | None = None

    def say(self, message: dict[str, Any]) -> None:
        self._inbox.put_nowait(message)

    def start(self, *, whole: bool = True) -> Self:
        """Send; with `whole` the body at once."""
        if whole:
            self.say({"type": "http.request", "body": self._body, "more_body": False})
        self.task = asyncio.create_task(self._receiver(self._scope, self._inbox.get, self._send))
        return self

    async def _send(self, message: Any) -> None:
        self.sent.append(dict(message))

    async def answer(self) -> Answer:
        assert self.task is not None
        await asyncio.wait_for(asyncio.shield(self.task), 20)
        [start, body] = self.sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers, body["body"])


async def post(receiver: Receiver, body: str | bytes = b"", **more: Any) -> Answer:
    """Send a request and return its answer."""
    text = body.encode() if isinstance(body, str) else body
    return await Call(receiver, text, **more).start().answer()
