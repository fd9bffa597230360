"""Names of queues whose ids in Cloud Tasks do not tell them: kept in the guard's store when one is paused."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from headway.brokers.cloudtasks.api import names
from headway.errors import CodecError
from headway.guards.base import Entry, read_data

if TYPE_CHECKING:
    from headway.brokers.cloudtasks.guard import Keeping
    from headway.brokers.cloudtasks.target import Target
    from headway.clock import Clock
    from headway.guards.base import GuardStore

_log: Final = logging.getLogger("headway.cloudtasks")
_GROUP: Final = ":queue"  # of the entries that keep the names
_PAGE: Final = 1000


class QueueNames:
    """The names that are kept."""

    def __init__(self, target: Target, keeping: Keeping, clock: Clock) -> None:
        self._target = target
        self._keeping = keeping
        self._clock = clock

    async def keep(self, queue: str) -> None:
        """Remember which queue a hash stands for: an empty one has no task to tell it."""
        if names.is_readable(self._target.namespace, queue):
            return
        store = await self._keeping.store()
        if store is None:
            return
        now = self._clock.now_ms()
        for queue_id in self._target.queue_ids(queue):
            entry = Entry(
                key=f"queue/{queue_id}",
                version=1,
                group=_GROUP,
                tag="",
                changed_ms=now,
                forget_ms=None,
                data=queue.encode(),
            )
            await store.insert(entry, now_ms=now)

    async def kept(self) -> dict[str, str]:
        """Return the names by the ids of their queues."""
        store: GuardStore | None = await self._keeping.store()
        found: dict[str, str] = {}
        after: str | None = None
        while store is not None:
            page = await store.page(
                groups=[_GROUP], tags=None, after=after, limit=_PAGE, now_ms=self._clock.now_ms()
            )
            for entry in page.entries:
                try:
                    found[entry.key.removeprefix("queue/")] = read_data(entry, bytes.decode)
                except CodecError as error:
                    _log.warning("%s; the name of that queue is not known", error)
            after = page.cursor
            if after is None:
                break
        return found
