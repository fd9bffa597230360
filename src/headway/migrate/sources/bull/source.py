"""The source: Bull 3 and 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.migrate.sources.bull.jobs import found_job
from headway.migrate.sources.bull.repeats import Repeats
from headway.migrate.sources.bulls.places import ACTIVE, COMPLETED, DELAYED, FAILED, PAUSED, WAIT
from headway.migrate.sources.bulls.source import MAX_BYTES, PREFIX, BullsSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.migrate.found import FoundJob, FoundSchedule
    from headway.migrate.opening import SourceOptions
    from headway.migrate.source import Back, Taken, WantedSchedule
    from headway.migrate.sources.bulls.keys import Keys
    from headway.migrate.sources.bulls.places import Place
    from headway.migrate.sources.bulls.reading import Raw

PACKAGE: Final = "headway.migrate.sources.bull"
_PLACES: Final = (WAIT, PAUSED, DELAYED, ACTIVE, FAILED, COMPLETED)


class BullSource(BullsSource):
    """The queues of one prefix."""

    def __init__(self, url: str, *, prefix: str = PREFIX, max_bytes: int = MAX_BYTES) -> None:
        """`max_bytes` of a job's data are read. ConfigError names what is wrong with the URL."""
        super().__init__(url, prefix=prefix, max_bytes=max_bytes)
        self._repeats = Repeats(self._server, self._taker)

    @property
    def kind(self) -> str:
        """Its word on the command line."""
        return "bull"

    @property
    def _places(self) -> Sequence[Place]:
        return _PLACES

    @property
    def _package(self) -> str:
        return PACKAGE

    async def _is_paused(self, keys: Keys) -> bool:
        return bool(await self._server.command("EXISTS", keys.of("meta-paused")))

    async def _found(self, keys: Keys, place: Place, raw: Raw, paused: bool) -> FoundJob:  # noqa: FBT001 - as above
        return found_job(keys.queue, place, raw, paused=paused)

    async def repeatables(self, queue: str) -> list[FoundSchedule]:
        """Return repeatable jobs."""
        return await self._repeats.read(self._keys(queue))

    async def take_repeatable(self, queue: str, wanted: WantedSchedule) -> Taken | None:
        """Take one, and the job of its next fire where that waits for its time."""
        return await self._repeats.take(self._keys(queue), wanted)

    async def put_back_repeatable(self, queue: str, back: Back, *, next_ms: int | None = None) -> bool:
        """Put one back, with a job for its next fire."""
        return await self._repeats.put_back(self._keys(queue), back, next_ms)


def make(url: str, options: SourceOptions) -> BullSource:
    """Make the source of a URL, not open yet; ConfigError names what is wrong with it."""
    return BullSource(url, prefix=options.prefix or PREFIX, max_bytes=options.max_bytes)
