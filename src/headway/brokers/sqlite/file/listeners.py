"""The listeners in this process: workers for signals, callers for ends of jobs, iterators for events."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from headway.brokers.base import CancelRequested, DrainRequested, LeaseLost, Wake
from headway.brokers.sqlite.file.watcher import SignalRow
from headway.job import JobId

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from headway.brokers.base import Signal
    from headway.brokers.sqlite.file.watcher import Change
    from headway.job import WorkerId


class Want(Protocol):
    """Switches the watcher."""

    def __call__(self, *, wanted: bool) -> None:
        """Begin to look, or stop looking."""
        ...


Mail = asyncio.Queue[SignalRow | Wake | None]


class Listeners:
    """Used on the loop's thread only.

    `want` switches the watcher on while anybody listens; `recheck` looks at the jobs that are waited for.
    """

    def __init__(self, want: Want, recheck: Callable[[], None]) -> None:
        """Nobody listens yet."""
        self._want = want
        self._recheck = recheck
        self._count = 0
        self._wake = 0
        self._idle: dict[WorkerId, int] = {}
        self._mail: dict[str, set[Mail]] = {}
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._changes: set[asyncio.Event] = set()
        self._closed = False

    @property
    def waited_for(self) -> list[str]:
        """The jobs whose end is awaited."""
        return list(self._waiters)

    @property
    def closed(self) -> bool:
        """True when the carrier was closed: nothing more will come."""
        return self._closed

    @contextmanager
    def _listening(self) -> Generator[None]:
        self._count += 1
        self._want(wanted=True)
        try:
            yield
        finally:
            self._count -= 1
            if not self._count and not self._closed:
                self._want(wanted=False)

    @contextmanager
    def mail(self, worker: WorkerId) -> Generator[Mail]:
        """Receive what concerns a worker; None: the carrier was closed."""
        box = Mail()
        with self._listening():
            boxes = self._mail.setdefault(worker, set())
            boxes.add(box)
            try:
                yield box
            finally:
                boxes.discard(box)
                if not boxes and self._mail.get(worker) is boxes:
                    del self._mail[worker]

    def listens(self, worker: WorkerId) -> bool:
        """Tell whether the worker listens for signals."""
        return worker in self._mail

    @contextmanager
    def waiting(self, job_id: JobId) -> Generator[asyncio.Future[None]]:
        """Receive a future that is done when the job has ended or gone, or the carrier was closed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._listening():
            futures = self._waiters.setdefault(job_id, set())
            futures.add(future)
            try:
                yield future
            finally:
                future.cancel()
                futures.discard(future)
                if not futures and self._waiters.get(job_id) is futures:
                    del self._waiters[job_id]

    @contextmanager
    def changes(self) -> Generator[asyncio.Event]:
        """Receive an event that is set at each change of the file."""
        event = asyncio.Event()
        with self._listening():
            self._changes.add(event)
            try:
                yield event
            finally:
                self._changes.discard(event)

    def idle(self, worker: WorkerId, wake: int) -> None:
        """Make a worker idle: it found too little at counter `wake`, and is woken when that has risen."""
        self._idle[worker] = wake
        self._wake_idle()

    def busy(self, worker: WorkerId) -> None:
        """Note that the worker is not idle: it has all it can take."""
        self._idle.pop(worker, None)

    def _wake_idle(self) -> None:
        for worker in [worker for worker, wake in self._idle.items() if wake < self._wake]:
            boxes = self._mail.get(worker)
            if boxes:  # without one it has its Wake at the start of its signals
                del self._idle[worker]
                for box in boxes:
                    box.put_nowait(Wake())

    def report(self, change: Change) -> None:
        """Pass on what the watcher has seen."""
        self._wake = max(self._wake, change.wake)
        self._wake_idle()
        for row in change.signals:
            for box in self._mail.get(row.worker, ()):
                box.put_nowait(row)
        self.ended(change.finished)
        if change.gap and self._waiters:
            self._recheck()
        for event in self._changes:
            event.set()

    def ended(self, ids: list[str]) -> None:
        """Resolve the waits for these jobs, which have ended or were removed."""
        for job_id in ids:
            for future in self._waiters.get(job_id, ()):
                if not future.done():
                    future.set_result(None)

    def close(self) -> None:
        """End all iterations and waits."""
        self._closed = True
        for boxes in self._mail.values():
            for box in boxes:
                box.put_nowait(None)
        self.ended(self.waited_for)
        for event in self._changes:
            event.set()


def signal_of(row: SignalRow) -> Signal:
    """Return the signal for what the watcher has seen."""
    if row.job is None:
        return LeaseLost()
    return CancelRequested(JobId(row.job)) if row.job else DrainRequested()
