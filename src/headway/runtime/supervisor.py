"""Starts worker processes, keeps their leases from outside, ends overdue ones, takes jobs back from dead ones.

It runs no code of the app, so nothing that a job does can stop its heart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from headway.runtime.child import EXIT_CONFIG
from headway.runtime.deaths import Cause
from headway.runtime.handback import HandBack
from headway.runtime.heart import Heart
from headway.runtime.lateness import Lateness
from headway.runtime.limits import cpu_quota
from headway.runtime.member import Member
from headway.runtime.recycling import Recycling
from headway.service import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from headway.brokers.base import BrokerSettings, Carrier
    from headway.runtime.control import CarrierUrl, Hello, WorkerOptions
    from headway.runtime.forked import Forked

_log = logging.getLogger("headway.supervisor")

_WATCH_SECONDS: Final = 0.25  # between looks at deadlines and memory; reads shared memory only
_KILL_AFTER_GRACE: Final = 3.0  # a worker that hangs after its grace time is ended
_MAX_PROCESSES: Final = 8  # by default; a machine of 64 cores shared by others should not get 64
_HEALTHY_SECONDS: Final = 10.0  # a worker that lived so long is started again at once
_LONGEST_BACKOFF: Final = 10.0
_MAX_SLOTS: Final = 4096
_LAST_WORDS: Final = (
    1.0  # for what an ended worker had said; a process that it forked may hold the line for ever
)


def table_size(options: WorkerOptions) -> int:
    """Return how many jobs at once the table of a worker has room for."""
    return min(_MAX_SLOTS, 2 * (options.concurrency or 512))


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
        first: Forked | None = None,
    ) -> None:
        """`open_carrier` opens a carrier with workers by its URL; None values come from the app.

        `watch` says which source files changed; `first` is a worker that was forked with the same options.
        """
        self._options = options
        self._open_carrier = open_carrier
        self._processes = processes
        self._max_jobs = max_jobs
        self._max_memory_mb = max_memory_mb
        self._watch = watch
        self._first = first
        self._members: set[Member] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._services = Services(_log, "supervisor")
        self._hearts: dict[CarrierUrl, Heart] = {}
        self._hand_back = HandBack(self._hearts, lambda: self._members, self._goes_on)
        self._lateness: dict[Member, Lateness] = {}
        self._stopping = False
        self._failures = 0
        self._greeted: asyncio.Future[Hello]  # what the first worker says that could load the app
        self._done: asyncio.Future[int]
        self.claiming = asyncio.Event()  # all processes that were asked for claim

    @property
    def pids(self) -> list[int]:
        """The worker processes."""
        return sorted(member.pid for member in self._members)

    async def run(self) -> int:
        """Run the group until it is stopped; return the exit code for the command line."""
        loop = asyncio.get_running_loop()
        self._done, self._greeted = loop.create_future(), loop.create_future()
        leading = asyncio.create_task(self._lead())
        leading.add_done_callback(self._ended)
        try:
            self._track(self._start(0))
            return await self._done
        finally:
            self._stopping = True  # also after a failure: no process that is ended now is replaced
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)
            await self._services.stop()
            for heart in self._hearts.values():
                await heart.services.stop()
            for member in list(self._members):
                member.kill(Cause.STOPPED)
            while self._tasks:
                await asyncio.wait(self._tasks)
            await asyncio.gather(*(heart.close() for heart in self._hearts.values()))

    def stop(self) -> None:
        """First call: drain. Second call: end every process now; what they hold is handed back either way."""
        again, self._stopping = self._stopping, True
        for member in self._members:
            if again:
                member.kill(Cause.STOPPED)
            else:
                self._send_off(member)
        if not self._members:
            self._finish(0)

    async def _lead(self) -> None:
        """Once a worker could load the app: complete the group, and watch it."""
        hello = await self._greeted
        recycling = Recycling(
            max_jobs=hello.max_jobs if self._max_jobs is None else self._max_jobs,
            max_memory_mb=hello.max_memory_mb if self._max_memory_mb is None else self._max_memory_mb,
        )
        self._services.start("watch", lambda: self._look(recycling))
        count = self._processes or hello.processes or min(cpu_quota(), _MAX_PROCESSES)
        for index in range(1, count):
            await self._start(index)
        await self._all_claiming(count)

    # --- the life of a member -----------------------------------------------------------------------------------

    async def _start(self, index: int) -> None:
        """Start a process; where the machine has no room for it, try again until it has."""
        while self._goes_on():
            forked, self._first = self._first, None
            try:
                if forked is None:
                    member, reader = await Member.start(index, self._options, table_size(self._options))
                else:
                    member, reader = await Member.adopt(index, forked)
            except OSError as error:
                self._failures += 1
                _log.error("no worker process can be started, again in %.1f s: %s", self._pause(), error)
                await asyncio.sleep(self._pause())
                continue
            self._members.add(member)
            self._track(self._follow(member, reader))
            if not self._goes_on():
                self._send_off(member)
            return
        if not self._members:
            self._finish(0)

    def _goes_on(self) -> bool:
        return not self._stopping

    async def _follow(self, member: Member, reader: asyncio.StreamReader) -> None:
        """Accompany one process from its start to the hand-back of what it held."""
        listening = asyncio.create_task(
            member.listen(
                reader, self._greet, partial(self._hear, member), partial(self._drain_asked, member)
            )
        )
        code = await member.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await listening
        member.sweep()
        for heart in self._hearts.values():
            heart.hear(member.pid, "")
        # Before the group was ever complete: its app cannot be loaded, or no worker can serve its carrier. It has
        # claimed nothing, so nothing is to be handed back.
        unfit = code == EXIT_CONFIG and not self.claiming.is_set()
        if unfit:
            self._finish(EXIT_CONFIG)
        elif not self._stopping and not member.leaving:
            # At once, not behind the hand-back: perhaps it is the new one that settles for the old.
            self._track(self._replace(member, code))
        if not unfit:
            await self._hand_back.take_back(member)
        self._members.discard(member)
        self._lateness.pop(member, None)
        member.close()
        if self._stopping and not self._members:
            self._finish(0)

    def _greet(self, hello: Hello) -> None:
        """Keep the leases of a worker on its carriers: those that are new, with a reload, have a heart from now on."""
        for carrier in hello.carriers:
            if carrier not in self._hearts:
                heart = Heart(carrier, hello, self._open_carrier, lambda: self._members)
                self._hearts[carrier] = heart
                heart.start()
        if not self._greeted.done():
            self._greeted.set_result(hello)

    def _hear(self, member: Member, lane: int, why: str) -> None:
        """Log once for the whole group that a carrier is away."""
        if member.hello is not None:
            self._hearts[member.hello.carriers[lane]].hear(member.pid, why)

    def _drain_asked(self, member: Member) -> None:
        """Drain one process because somebody asked for it, and start another one: the group stays complete.

        To end a group is for whoever started it: it would be started again, or its queues would have nobody, and
        nothing that can be asked through a carrier would bring it back.
        """
        if self._goes_on() and not member.leaving:
            _log.info(
                "worker process %d drains: somebody asked for it; a new one takes its place", member.pid
            )
            self._send_off(member)  # now, so that who is asked twice is replaced once
            self._track(self._start(member.index))

    async def _replace(self, member: Member, code: int) -> None:
        lived = time.monotonic() - member.born
        self._failures = 0 if lived > _HEALTHY_SECONDS and member.hello else self._failures + 1
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        pause = self._pause()
        _log.error("worker process %d ended by %s; a new one starts in %.1f s", member.pid, how, pause)
        await asyncio.sleep(pause)
        await self._start(member.index)

    def _pause(self) -> float:
        return 0.0 if self._failures <= 1 else min(_LONGEST_BACKOFF, 0.1 * 2 ** min(self._failures, 10))

    def _send_off(self, member: Member) -> None:
        """Tell the process to drain; one that does not end within its grace time is ended."""
        member.leave()
        if member.hello is not None:
            after = member.hello.grace + _KILL_AFTER_GRACE
            asyncio.get_running_loop().call_later(after, self._end_late, member)

    def _end_late(self, member: Member) -> None:
        if not member.ended:
            _log.error("worker process %d did not end within its grace time; it is ended", member.pid)
            member.kill(Cause.STOPPED)

    async def _all_claiming(self, count: int) -> None:
        """Wait until `count` processes claim; one that ends before is replaced by another."""
        while sum(member.claiming.is_set() and not member.ended for member in self._members) < count:
            silent = next((member for member in self._members if not member.claiming.is_set()), None)
            if silent is not None:
                await silent.claiming.wait()
            else:
                await asyncio.sleep(_WATCH_SECONDS)
        self.claiming.set()

    # --- services -----------------------------------------------------------------------------------------------

    async def _look(self, recycling: Recycling) -> float:
        """End overdue processes, recycle old ones, notice changed files."""
        for member in list(self._members):
            if member not in self._members or member.ended:  # since another one was recycled
                continue
            guilty = self._lateness.setdefault(member, Lateness()).look(member)
            if guilty is not None and not member.ended_for:
                _log.error(
                    "worker process %d is ended: past their time limit and the grace after it: %s",
                    member.pid,
                    ", ".join(guilty.jobs),
                )
                member.ended_for, member.known = guilty.jobs, guilty.known
                member.kill(Cause.OVERDUE)
            elif not member.leaving and (why := recycling.due(member)):
                _log.info("worker process %d is recycled: %s", member.pid, why)
                await self._recycle(member)
        if self._watch is not None:
            await self._reload(self._watch)
        return _WATCH_SECONDS

    async def _recycle(self, member: Member) -> None:
        """Start the new process before the old one has drained, so that no place is lost."""
        self._send_off(member)
        await self._start(member.index)

    async def _reload(self, watch: Callable[[list[str]], list[str]]) -> None:
        files = {file for member in self._members if member.hello for file in member.hello.files}
        if changed := watch(sorted(files)):
            _log.info("reload: %s", ", ".join(changed))
            for member in list(self._members):
                if member in self._members and not member.leaving:
                    await self._recycle(member)

    # --- ends ---------------------------------------------------------------------------------------------------

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
