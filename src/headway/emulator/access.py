"""IAM policies of queues: kept and returned, but nothing is refused for want of a right."""

from __future__ import annotations

import hashlib
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Final

from headway.emulator.errors import ApiError, Code
from headway.emulator.names import check_queue
from headway.emulator.queues import existing_queue
from headway.emulator.wire import Policy, TestIamPermissionsResponse

if TYPE_CHECKING:
    from headway.emulator.store import Store
    from headway.emulator.wire import Message

_log: Final = logging.getLogger("headway.emulator")
_DecodeError: Final[type[Exception]] = import_module("google.protobuf.message").DecodeError

_CHANGED: Final = (
    "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."
)


class Access:
    """Keeps the policy of each queue."""

    def __init__(self, store: Store) -> None:
        """Policies live in the store, beside their queues."""
        self._store = store

    async def get_iam_policy(self, request: Message) -> Message:
        """Return the queue's policy; empty when none was set."""
        return self._policy(existing_queue(self._store, request.resource).name)

    async def set_iam_policy(self, request: Message) -> Message:
        """Replace the queue's policy; ABORTED when it was changed since the caller read it."""
        queue = existing_queue(self._store, request.resource).name
        if request.policy.etag and request.policy.etag != self._policy(queue).etag:
            raise ApiError(Code.ABORTED, _CHANGED)
        policy = Policy(version=request.policy.version, bindings=request.policy.bindings)
        self._store.set_policy(queue, policy.SerializeToString(deterministic=True))
        await self._store.journal.commit()
        return self._policy(queue)

    async def test_iam_permissions(self, request: Message) -> Message:
        """Grant everything that is asked for; nothing on a queue that is not there, as the service does."""
        there = self._store.queue(check_queue(request.resource)) is not None
        return TestIamPermissionsResponse(permissions=request.permissions if there else ())

    def _policy(self, queue: str) -> Message:
        kept = self._store.policy(queue)
        try:
            policy = Policy.FromString(kept)
        except _DecodeError:
            _log.error("the policy of queue %s is damaged and counts as none", queue)
            policy = Policy()
        policy.etag = hashlib.sha256(kept).digest()[:8]
        return policy
