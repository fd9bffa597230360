"""Signals to workers, from the worker's channel."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from headway.brokers.base import CancelRequested, DrainRequested, Handed, LeaseLost, Signal, Wake
from headway.brokers.redis.cancel_requests import Requests
from headway.brokers.redis.keys import worker_channel
from headway.brokers.redis.wire.subscriptions import Subscription
from headway.job import JobId

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from headway.brokers.redis.handover import Hands
    from headway.brokers.redis.session import Session
    from headway.brokers.redis.wire.subscriptions import Listener
    from headway.job import WorkerId

_DEPUTY_PAUSE: Final = 1.0  # seconds; as long as ready.lua appoints no other deputy


class Mailbox:
    """Signals not yet taken; of several Wakes one is kept."""

    def __init__(self, session: Session, worker: WorkerId, hands: Hands | None, *, begins: bool) -> None:
        """Start with a Wake: jobs may have come before the subscription. Without `hands` no job is taken by message.

        `begins`: nobody has listened for the worker here before.
        """
        self._hands = hands
        self.requests = Requests(
            session,
            worker,
            lambda job_id: self.put(CancelRequested(job_id)),
            lambda: self.put(DrainRequested()),
            begins=begins,
        )
        self._signals: deque[Signal] = deque([Wake()])
        self._filled = asyncio.Event()
        self._filled.set()
        self._closed = False

    def put(self, signal: Signal) -> None:
        """Add a signal."""
        if not (isinstance(signal, Wake) and any(isinstance(one, Wake) for one in self._signals)):
            self._signals.append(signal)
        self._filled.set()

    def on_message(self, content: bytes) -> None:
        """Read what the scripts publish: W, V, L, D, C and an id, or J and a job."""
        match content[:1]:
            case b"J":
                self._on_job(content)
            case b"W":
                self.put(Wake())
            case b"V":
                # Another worker was woken for these jobs; should it not have taken them by then, this one does.
                asyncio.get_running_loop().call_later(_DEPUTY_PAUSE, self.put, Wake())
            case b"L":
                self.put(LeaseLost())
            case b"D":
                self.put(DrainRequested())
            case b"C":
                self.requests.hear(JobId(content[1:].decode(errors="replace")))
            case _:
                pass  # a signal of a newer version

    def _on_job(self, content: bytes) -> None:
        try:
            delivery = None if self._hands is None else self._hands.on_message(content)
        except ValueError:
            # The server takes this worker for busy now. Its next claim gets the job, and reports what is damaged.
            self.put(Wake())
            raise
        if delivery is not None:
            self.put(Handed(delivery))

    def on_restored(self) -> None:
        """Look for jobs and requests: what was published during the cut is lost."""
        self.put(Wake())
        self.requests.look()

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        self._filled.set()
        self.requests.close()

    async def take(self) -> Signal | None:
        """Wait for the next signal; None: closed."""
        while not self._signals:
            if self._closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        return self._signals.popleft()


@asynccontextmanager
async def mailbox(
    listener: Listener, session: Session, worker: WorkerId, hands: Hands | None, *, begins: bool
) -> AsyncGenerator[Mailbox]:
    """Listen on a worker's channel for the length of the block."""
    box = Mailbox(session, worker, hands, begins=begins)
    channel = worker_channel(session.prefix, worker)
    subscription = Subscription(box.on_message, box.on_restored)
    await listener.subscribe(channel, subscription)
    try:
        box.requests.look()  # the worker may hold jobs from before
        yield box
    finally:
        box.requests.close()
        await listener.unsubscribe(channel, subscription)
