"""Loops that live as long as their owner: no bad round ends one, and none says the same thing twice.

- `Services` starts the loops of one object, under names, and stops them.
- `Remarks` is what such an object says of single entries (a schedule, a job, a message): each is named once, counted,
  and passed over, until it changes or is well again.
- `Outage` is what all loops of a process know together of a server that does not answer: one line when it is lost, one
  when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerError, BrokerUnavailableError
from headway.raised import in_one_line, trace_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator

_FIRST_PAUSE: Final = 0.1  # seconds after a round that failed, doubled up to the longest
_LONGEST_PAUSE: Final = 3.0  # a server that came back is used again soon
_MAX_REMARKS: Final = 1000  # entries remembered; beyond them the oldest may be named again


class Remarks:
    """What is wrong with single entries: said once until it changes, and counted.

    Safe to use from several threads: each call changes one entry of a dict.
    """

    def __init__(self, log: logging.Logger, owner: str) -> None:
        """`log` gets a warning for each new remark, which begins with the owner's name."""
        self.count = 0  # entries passed over since the start
        self._log = log
        self._owner = owner
        self._present: dict[str, str] = {}

    @property
    def present(self) -> dict[str, str]:
        """What is wrong now, by entry."""
        return dict(self._present)

    def say(self, entry: str, what: str, *, level: int = logging.WARNING, detail: str = "") -> None:
        """Say what is wrong with an entry, unless that is what was said of it last.

        `detail`, such as a traceback, is logged behind it and not compared.
        """
        self.count += 1
        if self._present.get(entry) == what:
            return
        while len(self._present) >= _MAX_REMARKS:
            self._present.pop(next(iter(self._present), ""), None)
        self._present[entry] = what
        self._log.log(
            level, "%s: %s: %s%s", self._owner, entry, what, f"\n{detail.rstrip()}" if detail else ""
        )

    def well(self, entry: str) -> None:
        """Take back what was said of an entry: it is as it should be. If it fails again, that is said again."""
        self._present.pop(entry, None)

    @contextmanager
    def passing_over(self, entry: str, what: str = "passed over") -> Generator[None]:
        """Do something with one entry; whatever is raised is said of the entry and goes no further.

        `what` says what becomes of it. The cancellation of the running task and Ctrl-C go on.
        """
        try:
            yield
        except BaseException as error:
            if must_go_on(error):
                raise
            self.say(entry, f"{what}: {in_one_line(error)}", detail=trace_of(error))
        else:
            self.well(entry)


class Outage:
    """Whether a server answers, as all loops that ask it find together."""

    def __init__(self, log: logging.Logger, what: str, *, tell: Callable[[str], None] | None = None) -> None:
        """`what` names who lost which server. With `tell` nothing is logged: it hears the reason, and "" at the end."""
        self._log = log
        self._what = what
        self._tell = tell
        self._failing: set[str] = set()
        self._since = 0.0
        self._answered = asyncio.Event()  # replaced each time one of the failing loops got an answer

    @property
    def away(self) -> bool:
        """True from the first call that failed until each loop that failed has had an answer."""
        return bool(self._failing)

    def lost(self, by: str, error: BaseException) -> None:
        """Learn that a loop could not reach the server."""
        if not self._failing:
            self._since = time.monotonic()
            if self._tell is not None:
                self._tell(str(error))
            else:
                self._log.warning(
                    "%s is not available, tried again until it is: %s", self._what, in_one_line(error)
                )
        self._failing.add(by)

    def answers(self, by: str) -> None:
        """Learn that a loop had an answer, or has nothing to ask any more."""
        if by not in self._failing:  # the usual case
            return
        self._failing.discard(by)
        answered, self._answered = self._answered, asyncio.Event()
        answered.set()
        if self._failing:
            return
        if self._tell is not None:
            self._tell("")
        else:
            seconds = time.monotonic() - self._since
            self._log.warning("%s is available again, after %.1f s", self._what, seconds)

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until another loop that could not reach the server has had an answer."""
        try:
            async with asyncio.timeout(seconds):
                await self._answered.wait()
        except TimeoutError:
            pass


class Service:
    """One loop: rounds, each of which says after how many seconds the next one is due.

    A loop whose owner plays its rounds himself (`Services.watch`) tells of each by `went_well` or `failed`.
    """

    def __init__(self, name: str, remarks: Remarks, outage: Outage | None) -> None:
        """Made by `Services`."""
        self.name = name
        self.rounds = 0  # that went well
        self.failures = 0  # in a row
        self._remarks = remarks
        self._outage = outage

    def went_well(self) -> None:
        """Count a round that went well. One that lasts says so itself, at each sign that it works."""
        self.rounds += 1
        if self.failures:
            self.failures = 0
            self._remarks.well(self.name)
        if self._outage is not None:
            self._outage.answers(self.name)

    async def run(self, play: Callable[[], Awaitable[float]], first: float) -> None:
        """Play rounds until cancelled."""
        await asyncio.sleep(first)
        while True:
            try:
                pause = await play()
            except BaseException as error:
                if must_go_on(error):
                    raise
                await self.pause(self.failed(error))
            else:
                self.went_well()
                await asyncio.sleep(pause)

    def failed(self, error: BaseException) -> float:
        """Say what befell a round, once until it changes; return the seconds to wait before the next."""
        self.failures += 1
        longest: float = min(_FIRST_PAUSE * 2 ** min(self.failures - 1, 16), _LONGEST_PAUSE)
        if self._outage is not None and isinstance(error, BrokerUnavailableError):
            self._outage.lost(self.name, error)
        elif isinstance(error, BrokerError):
            if self._outage is not None:
                self._outage.answers(self.name)
            self._remarks.say(self.name, f"failed, tried again until it works: {in_one_line(error)}")
        else:
            # The place, not the text: that may be another one in each round.
            said = f"failed, tried again until it works: {type(error).__name__} at {_place(error)}"
            self._remarks.say(self.name, said, level=logging.ERROR, detail=trace_of(error))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until another loop that could not reach the server either has had an answer."""
        if self._outage is None:
            await asyncio.sleep(seconds)
        else:
            await self._outage.pause(seconds)


class Services:
    """The loops of one owner, by name."""

    def __init__(self, log: logging.Logger, owner: str, *, outage: Outage | None = None) -> None:
        """`outage`: of the carrier that these loops ask; without one each speaks for itself."""
        self.remarks = Remarks(log, owner)
        self.outage = outage
        self._owner = owner
        self._known: dict[str, Service] = {}
        self._running: dict[Service, asyncio.Task[None]] = {}

    def __iter__(self) -> Iterator[Service]:
        """Yield all."""
        return iter(list(self._known.values()))

    def start(self, name: str, play: Callable[[], Awaitable[float]], *, first: float = 0.0) -> Service:
        """Play rounds from now on, the first one after `first` seconds.

        A round returns the seconds until the next one; whatever it raises is logged once until it changes, and the next
        round comes after a pause that grows.
        """
        service = self.watch(name)
        task = asyncio.create_task(service.run(play, first), name=f"{self._owner}: {name}")
        self._running[service] = task
        task.add_done_callback(lambda _: self._running.pop(service, None))
        return service

    def watch(self, name: str) -> Service:
        """Return a loop whose rounds its owner plays himself."""
        service = self._known[name] = Service(name, self.remarks, self.outage)
        return service

    async def stop(self) -> None:
        """Stop all, and wait until they have ended."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._known.clear()


def must_go_on(error: BaseException) -> bool:
    """Tell whether an exception is no failure: the running task is cancelled, a generator is closed, Ctrl-C."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, GeneratorExit | KeyboardInterrupt)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
