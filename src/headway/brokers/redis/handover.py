"""Hand-over: jobs that reach an idle worker in a message, and which of these messages are valid.

A message carries the number of the claim after which the worker went idle, and is valid until the next claim is sent.
That claim says whether the message came; if not, it returns the job itself. So a message that comes after it is
dropped. One that arrives before the answer of its own claim, which takes the other connection, waits for that answer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from headway.brokers.redis.session import parse_kind
from headway.job import Delivery, JobId, Lease, WorkerId

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD: Final = re.compile(rb"J(\d{1,18})\|([0-9a-z]+)\|(\d{1,18})\|")


class Hands:
    """The hand-over messages of one worker: each valid one is returned once."""

    def __init__(self, worker: WorkerId) -> None:
        self._worker = worker
        self._answered = 0  # number of the last claim that was answered
        self._awaited = 0  # number of the claim on its way; 0: none
        self._early: tuple[int, Delivery] | None = None
        self.taken = 0  # number of the claim under which the last one was taken; 0: none

    def claim_sent(self, number: int) -> None:
        """Note that a claim is sent; it is under way until it, or its repeat, is answered."""
        self._awaited = number

    def claim_answered(self, number: int) -> Sequence[Delivery]:
        """Note that the claim was answered; return the job whose message came before the answer."""
        self._awaited, self._answered = 0, number
        early, self._early = self._early, None
        if early is None or early[0] != number:
            return ()
        self.taken = number
        return (early[1],)

    def on_message(self, content: bytes) -> Delivery | None:
        """Read a message; None when it is not valid, or not yet. ValueError when it is damaged."""
        head = _HEAD.match(content)
        if head is None:
            msg = "a message that brings a job is damaged"
            raise ValueError(msg)
        number = int(head[1])
        delivery = self._read(head, content)
        if self._awaited:
            if number == self._awaited:
                self._early = (number, delivery)
            return None
        if number != self._answered or number == self.taken:
            return None
        self.taken = number
        return delivery

    def _read(self, head: re.Match[bytes], content: bytes) -> Delivery:
        ends = head.end() + int(head[3])
        kind = parse_kind(content[head.end() : ends])
        if kind is None:
            msg = "a message brings a job of a kind that cannot be read"
            raise ValueError(msg)
        return Delivery(
            Lease(JobId(head[2].decode()), self._worker, 1),
            kind.task,
            kind.queue,
            content[ends:].partition(b":")[2],
            kind.priority,
            attempt=1,
            crashes=0,
        )
