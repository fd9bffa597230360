"""What tells whether a request comes from whom it should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from headway.errors import HeadwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.brokers.base import BodySums, PushRequest


class UnverifiedError(HeadwayError):
    """The sender did not prove who it is (401), or is somebody who may not send (403).

    The message is for our log; the sender gets the status and no detail.
    """

    def __init__(self, status: Literal[401, 403], message: str) -> None:
        super().__init__(message)
        self.status: Literal[401, 403] = status


class Verifier(Protocol):
    """Verifies requests."""

    async def admit(self, headers: Mapping[str, str]) -> None:
        """Raise as `verify` does when the headers alone show that a request is not proven, whatever its body."""
        ...

    def sums(self, headers: Mapping[str, str]) -> BodySums | None:
        """Return what proves a body that is too long to be kept; None: the body has no part in it."""
        ...

    async def verify(self, request: PushRequest) -> None:
        """Raise UnverifiedError unless the request is proven; BrokerUnavailableError when the keys cannot be had."""
        ...
