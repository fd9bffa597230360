"""Start worker processes, keep their leases from outside, end overdue ones, take back what the dead held.

It runs no code of the app, so nothing that a job does can stop its heart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError
from headway.runtime.child import EXIT_CONFIG
from headway.runtime.keeper import BEATS_PER_LEASE
from headway.runtime.limits import cpu_quota
from headway.runtime.member import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headway.brokers.base import BrokerSettings, Carrier
    from headway.job import JobId
    from headway.runtime.control import Hello, WorkerOptions

_log = logging.getLogger("headway.supervisor")

_WATCH_SECONDS: Final = 0.25  # between looks at deadlines and memory; reads shared memory only
_KILL_AFTER_GRACE: Final = 3.0  # a worker that hangs after its grace time is ended
_MAX_PROCESSES: Final = 8  # by default; a machine of 64 cores shared by others should not get 64
_HEALTHY_SECONDS: Final = 10.0  # a worker that lived so long is started again at once
_LONGEST_BACKOFF: Final = 10.0
_SURRENDER_PAUSE: Final = 0.2
_MAX_SLOTS: Final = 4096
_LAST_WORDS: Final = (
    1.0  # for what an ended worker had said; a process that it forked may hold the line for ever
)


class Supervisor:
    """A group of worker processes of one app."""

    def __init__(
        self,
        options: WorkerOptions,
        *,
        open_carrier: Callable[[str, BrokerSettings], Carrier],
        processes: int | None = None,
        max_jobs: int | None = None,
        max_memory_mb: int | None = None,
        watch: Callable[[list[str]], list[str]] | None = None,
    ) -> None:
        """`open_carrier` opens a carrier with workers by its URL; None values come from the app.

        `watch` says which source files changed.
        """
        self._options = options
        self._open_carrier = open_carrier
        self._processes = processes
        self._max_jobs = max_jobs
        self._max_memory_mb = max_memory_mb
        self._watch = watch
        self._members: set[Member] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._carrier: Carrier | None = None
        self._hello: Hello | None = None
        self._stopping = False
        self._hard = False
        self._failures = 0
        self._done: asyncio.Future[int]
        self.claiming = asyncio.Event()  # all processes that were asked for claim

    @property
    def pids(self) -> list[int]:
        """The worker processes."""
        return sorted(member.pid for member in self._members)

    async def run(self) -> int:
        """Run the group until it is stopped; return the exit code for the command line."""
        self._done = asyncio.get_running_loop().create_future()
        services: list[asyncio.Task[None]] = []
        try:
            first = await self._start(0)
            await self._first_hello(first)
            if self._hello is not None:
                count = self._processes or self._hello.processes or min(cpu_quota(), _MAX_PROCESSES)
                for index in range(1, count):
                    await self._start(index)
                services = [
                    asyncio.create_task(self._beat(self._hello)),
                    asyncio.create_task(self._look(self._hello)),
                    asyncio.create_task(self._all_claiming(count)),
                ]
                for service in services:
                    service.add_done_callback(self._ended)
            return await self._done
        finally:
            self._stopping = True  # also when it failed: none of those that are ended now is replaced
            for service in services:
                service.cancel()
            await asyncio.gather(*services, return_exceptions=True)
            for member in list(self._members):
                member.kill()
            while self._tasks:
                await asyncio.wait(self._tasks)
            if self._carrier is not None:
                await self._carrier.close()

    def stop(self) -> None:
        """First call: drain. Second call: end every process now; what they hold is handed back either way."""
        if self._stopping:
            self._hard = True
            for member in self._members:
                member.kill()
            return
        self._stopping = True
        for member in self._members:
            member.leave()
        if self._hello is not None:
            delay = self._hello.grace + _KILL_AFTER_GRACE
            asyncio.get_running_loop().call_later(delay, self._kill_all)
        elif not self._members:
            self._finish(0)

    # --- the life of a member -----------------------------------------------------------------------------------

    async def _start(self, index: int) -> Member:
        slots = min(_MAX_SLOTS, 2 * (self._options.concurrency or 512))
        member, reader = await Member.start(index, self._options, slots)
        self._members.add(member)
        self._track(self._follow(member, reader))
        if self._stopping:
            member.leave()
        return member

    async def _follow(self, member: Member, reader: asyncio.StreamReader) -> None:
        """Accompany one process from its start to the hand-back of what it held."""
        listening = asyncio.create_task(member.listen(reader))
        code = await member.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await listening
        await self._take_back(member, code)
        self._members.discard(member)
        member.close()
        if member.hello is None and code == EXIT_CONFIG and self._hello is None:
            self._finish(EXIT_CONFIG)
        elif self._stopping:
            if not self._members:
                self._finish(0)
        elif not member.leaving:
            self._track(self._replace(member, code))

    async def _replace(self, member: Member, code: int) -> None:
        lived = time.monotonic() - member.born
        self._failures = 0 if lived > _HEALTHY_SECONDS and member.hello else self._failures + 1
        pause = 0.0 if self._failures <= 1 else min(_LONGEST_BACKOFF, 0.1 * 2**self._failures)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        _log.error("worker process %d ended by %s; a new one starts in %.1f s", member.pid, how, pause)
        await asyncio.sleep(pause)
        if not self._stopping:
            await self._start(member.index)
        elif not self._members:
            self._finish(0)

    async def _take_back(self, member: Member, code: int) -> None:
        """Hand back what the dead process held, until the carrier has answered or the lease has surely run out."""
        hello = member.hello
        if hello is None or self._carrier is None:
            return
        suspects: list[JobId] = member.ended_for or ([] if code == 0 or self._hard else member.started())
        give_up = time.monotonic() + 2 * hello.lease_ms / 1000
        while True:
            try:
                count = await self._carrier.surrender(hello.worker, started=suspects)
            except BrokerError as error:
                if time.monotonic() > give_up:
                    _log.error("worker %s: its jobs come back after the lease: %s", hello.worker, error)
                    return
                await asyncio.sleep(_SURRENDER_PAUSE)
                continue
            if count:
                _log.warning("worker %s: %d jobs were handed back", hello.worker, count)
            return

    async def _first_hello(self, first: Member) -> None:
        await first.introduced.wait()
        if first.hello is not None:
            self._hello = first.hello
            carrier = self._open_carrier(first.hello.url, first.hello.broker)
            while True:
                try:
                    await carrier.open()
                    break
                except BrokerError as error:
                    if self._stopping:
                        return
                    _log.warning("the supervisor waits for its carrier: %s", error)
                    await asyncio.sleep(1.0)
            self._carrier = carrier

    async def _all_claiming(self, count: int) -> None:
        """Tell when so many processes claim; one that ended before is followed by another."""
        while sum(member.claiming.is_set() and not member.ended for member in self._members) < count:
            silent = next((member for member in self._members if not member.claiming.is_set()), None)
            if silent is not None:
                await silent.claiming.wait()
            else:
                await asyncio.sleep(_WATCH_SECONDS)
        self.claiming.set()

    # --- services -----------------------------------------------------------------------------------------------

    async def _beat(self, hello: Hello) -> None:
        """One heartbeat for all that all processes hold."""
        pause = hello.lease_ms / 1000 / BEATS_PER_LEASE
        while True:
            await asyncio.sleep(pause)
            asked = {
                member.hello.worker: (member, set(member.started()))
                for member in self._members
                if member.hello is not None and member.needs_heartbeat
            }
            if not asked or self._carrier is None:
                continue
            try:
                beats = await self._carrier.heartbeat(list(asked), hello.lease_ms)
            except BrokerError as error:
                _log.warning("a heartbeat failed: %s", error)
                continue
            for beat in beats:
                member, before = asked[beat.worker]
                # Meanwhile it may have ended. And what it began since, it began under a lease of its own: when the
                # carrier looked, there was perhaps nothing to hold.
                if not beat.held and member in self._members and not before.isdisjoint(member.started()):
                    member.lost()

    async def _look(self, hello: Hello) -> None:
        """End overdue processes, recycle old ones, notice changed files."""
        max_jobs = hello.max_jobs if self._max_jobs is None else self._max_jobs
        max_memory_mb = hello.max_memory_mb if self._max_memory_mb is None else self._max_memory_mb
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for member in list(self._members):
                if member not in self._members:  # it ended while another one was recycled
                    continue
                overdue = member.overdue()
                if overdue and not member.ended_for:
                    _log.error(
                        "worker process %d is ended: past their time limit and the grace after it: %s",
                        member.pid,
                        ", ".join(overdue),
                    )
                    member.ended_for = overdue
                    member.kill()
                elif not member.leaving and (
                    (max_jobs and member.slots.done >= max_jobs)
                    or (max_memory_mb and member.memory_mb > max_memory_mb)
                ):
                    _log.info("worker process %d is recycled", member.pid)
                    await self._recycle(member)
            if self._watch is not None:
                await self._reload()

    async def _recycle(self, member: Member) -> None:
        """Start the new process before the old one has drained, so that no place is lost."""
        member.leave()
        if not self._stopping:
            await self._start(member.index)

    async def _reload(self) -> None:
        files = {file for member in self._members if member.hello for file in member.hello.files}
        changed = self._watch(sorted(files)) if self._watch is not None else []
        if changed:
            _log.info("reload: %s", ", ".join(changed))
            for member in list(self._members):
                if member in self._members and not member.leaving:
                    await self._recycle(member)

    # --- ends ---------------------------------------------------------------------------------------------------

    def _kill_all(self) -> None:
        for member in self._members:
            _log.error("worker process %d did not end within its grace time; it is ended", member.pid)
            member.kill()

    def _finish(self, code: int) -> None:
        if not self._done.done():
            self._done.set_result(code)

    def _track(self, coroutine: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("the supervisor failed; it ends its workers", exc_info=error)
            self._finish(1)
