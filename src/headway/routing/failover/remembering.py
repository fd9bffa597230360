"""Whether a carrier would still know a job that it may have been given: if not, only people can decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.errors import BrokerError
from headway.job import JobState

if TYPE_CHECKING:
    from headway.brokers.base import Store

_CAPPED_AFTER_MS: Final = 55_000  # the cap on completed jobs drops none of the last minute
_MARGIN_MS: Final = 60_000  # clocks of hosts differ, and pruning is not instant
_CAPPED: Final = (JobState.SUCCEEDED, JobState.CANCELLED, JobState.EXPIRED)


class Memory(Struct, frozen=True):
    """How long the app's carriers keep the records of completed jobs."""

    kept_ms: int  # the shortest of all ends
    most: int  # completed jobs, beyond which the oldest go

    @property
    def sure_ms(self) -> int:
        """So long a record is there for certain, as far as time is concerned."""
        return self.kept_ms - min(_MARGIN_MS, self.kept_ms // 10)


class Remembering:
    """Asks one carrier, for one batch of jobs."""

    def __init__(self, memory: Memory, store: Store, now_ms: int) -> None:
        self._memory = memory
        self._store = store
        self._now_ms = now_ms
        self._capped: dict[int, bool] = {}

    async def knows(self, tried_ms: int) -> bool:
        """Tell whether the carrier has the record of each job that it was given since then, if it was. BrokerError."""
        age = max(0, self._now_ms - tried_ms)
        if age > self._memory.sure_ms:
            return False
        if age < _CAPPED_AFTER_MS or not self._store.capabilities.cap_succeeded:
            return True
        if tried_ms not in self._capped:
            self._capped[tried_ms] = await self._may_be_capped(tried_ms)
        return not self._capped[tried_ms]

    async def _may_be_capped(self, tried_ms: int) -> bool:
        """Tell whether so many jobs have completed since then that the cap may have dropped some of them."""
        completed = sum(one.counts.get(state, 0) for one in await self._store.counts() for state in _CAPPED)
        if completed < self._memory.most // 2:
            return False
        figures = self._store.capabilities.figures
        if figures is None:
            return True
        try:
            found = await figures.figures(tried_ms - _MARGIN_MS, self._now_ms + _MARGIN_MS)
        except BrokerError:
            return True
        # Twice: workers that were killed took the last seconds of their figures with them.
        return 2 * sum(row.counts.succeeded for row in found.rows) >= self._memory.most
