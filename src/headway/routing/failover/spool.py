"""The spool of a process: its file on a thread of its own, so that no event loop waits for the disk."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

from headway.errors import ConfigError
from headway.routing.failover.spoolfile import Bounds, SpoolFile
from headway.routing.failover.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headway.clock import Clock
    from headway.job import JobId, NewJob
    from headway.routing.failover.entries import Contents, Entry, SeenBreaker

P = ParamSpec("P")
T = TypeVar("T")


def spool_path(url: str) -> Path:
    """Read the setting `spool`: `sqlite:///relative.db` or `sqlite:////absolute.db`; ConfigError."""
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if (
        parts.scheme != "sqlite"
        or parts.netloc
        or parts.query
        or not url.startswith("sqlite:///")
        or not path
        or path.endswith("/")
        or path.startswith((":memory:", "file:"))
        or "\0" in path
    ):
        msg = f"spool: must be a file of this host, sqlite:///relative.db or sqlite:////absolute/path.db, got {url!r}"
        raise ConfigError(msg)
    return Path(path)


class Spool:
    """The spool, open on one event loop. Its calls raise SpoolError; puts are done in the order of the calls."""

    def __init__(self, path: Path, app: str, bounds: Bounds, clock: Clock) -> None:
        self._file = SpoolFile(path, app, bounds)
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="headway-spool")
        self._openings = 0
        self.path = self._file.path
        self.watch = Watch(self.path)

    async def open(self) -> None:
        """Open or make the file; ConfigError says in one line what is wrong with it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.open)
        self.watch.open()
        self._openings = self._file.openings

    async def close(self) -> None:
        """Close the file behind the last call."""
        self.watch.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
        self._thread.shutdown(wait=False)

    async def refresh(self) -> None:
        """Look at the file itself: whether it is still there, and what other processes did."""
        await self._run(SpoolFile.check)
        self.watch.refresh()

    async def put(self, carrier: str, jobs: Sequence[NewJob], *, tried_ms: int | None) -> None:
        """Take all of the jobs or none; when this returns, the disk has them."""
        await self._run(SpoolFile.put, carrier, jobs, tried_ms=tried_ms, now_ms=self._clock.now_ms())

    async def head(self, carrier: str, limit: int, *, behind: int = 0) -> list[Entry]:
        """Return the jobs of a carrier that came first, behind the one of a number."""
        return await self._run(SpoolFile.head, carrier, limit, behind=behind)

    async def find(self, ids: Iterable[JobId]) -> list[Entry]:
        """Return those of these jobs that are here."""
        return await self._run(SpoolFile.find, ids)

    async def hand_over(self, carrier: str, entries: Sequence[Entry]) -> list[Entry]:
        """Bind jobs to their carrier, which may have them from now on; return those that are still to go there."""
        return await self._run(SpoolFile.hand_over, carrier, entries, self._clock.now_ms())

    async def done(self, entries: Iterable[Entry], *, cancelled: bool = False) -> int:
        """Remove jobs that their carrier has, and knows as cancelled if they are; return how many."""
        seqs = [one.seq for one in entries]
        return await self._run(SpoolFile.done, seqs, cancelled=cancelled) if seqs else 0

    async def cancel(self, ids: Iterable[JobId], reason: str) -> Mapping[JobId, bool]:
        """See to it that jobs do not run; return those that are here, with whether their carrier may have them."""
        return await self._run(SpoolFile.cancel, ids, reason)

    async def park(self, entries: Iterable[Entry], why: str) -> None:
        """Set jobs aside until somebody decides."""
        if seqs := [one.seq for one in entries]:
            await self._run(SpoolFile.park, seqs, why)

    async def parked(self, limit: int) -> list[tuple[str, str, str]]:
        """Return id, carrier and reason of parked jobs."""
        return await self._run(SpoolFile.parked, limit)

    async def unpark(self) -> int:
        """Let all parked jobs go to their carriers; return how many."""
        return await self._run(SpoolFile.unpark, self._clock.now_ms())

    async def drop_parked(self) -> int:
        """Forget all parked jobs; return how many."""
        return await self._run(SpoolFile.drop_parked)

    async def rebind(self, entries: Iterable[Entry], carrier: str) -> None:
        """Let jobs that were handed to nobody go to another carrier."""
        await self._run(SpoolFile.rebind, [one.seq for one in entries], carrier)

    async def take_lease(self, carrier: str, holder: str, ttl_ms: int) -> bool:
        """Be the one process that brings the jobs of a carrier there, for so long; false: another one is."""
        return await self._run(SpoolFile.take_lease, carrier, holder, ttl_ms, self._clock.now_ms())

    async def release(self, carrier: str, holder: str) -> None:
        """End the lease."""
        await self._run(SpoolFile.release, carrier, holder)

    async def note_breaker(self, seen: SeenBreaker, *, closed: bool) -> None:
        """Tell the other processes of this host of a breaker."""
        await self._run(SpoolFile.note_breaker, seen, closed=closed)

    async def forget_breakers(self, pid: int) -> None:
        """Tell no more of the breakers of a process that ends."""
        await self._run(SpoolFile.forget_breakers, pid)

    async def contents(self) -> Contents:
        """Return what there is."""
        return await self._run(SpoolFile.contents, self._clock.now_ms())

    async def _run(
        self, call: Callable[Concatenate[SpoolFile, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def work() -> T:
            return call(self._file, *args, **kwargs)

        answer = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        if self._openings != self._file.openings:  # it was lost, and made anew
            self._openings = self._file.openings
            self.watch.open()
        return answer
