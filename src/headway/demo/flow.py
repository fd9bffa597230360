"""A steady stream of jobs: what a producer does while a roll-out goes on behind its back."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Self

from headway.demo.rolling_app import analyse_file, app
from headway.demo.source import library, source_files

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType
    from typing import Any

    from headway.job import JobId

_TICK: Final = 0.25  # seconds
_A_TICK: Final = 10  # jobs
_MOST_WAITING: Final = 200  # a slow machine gets fewer jobs, not a longer queue
_LARGEST: Final = 40_000  # bytes of a file


class Flow:
    """Enqueues while it is entered; `accepted` are the ids that `enqueue_many` answered."""

    def __init__(self, seed: int, done: Callable[[], Coroutine[Any, Any, int]]) -> None:
        """`done` tells how many jobs have completed."""
        files = [path for path in source_files() if (library() / PurePath(path)).stat().st_size <= _LARGEST]
        random.Random(seed).shuffle(files)  # noqa: S311 - to repeat a run, not to keep a secret
        self.accepted: list[JobId] = []
        self._files = itertools.cycle(files)
        self._done = done
        self._ended = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin."""
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; what broke it is raised, where nothing else is on its way."""
        self._ended.set()
        if self._running is not None:
            (broken,) = await asyncio.gather(self._running, return_exceptions=True)
            if broken is not None and error is None:
                raise broken

    def check(self) -> None:
        """Raise what broke it."""
        if self._running is not None and self._running.done():
            self._running.result()

    async def _run(self) -> None:
        while not self._ended.is_set():
            if len(self.accepted) - await self._done() < _MOST_WAITING:
                jobs = [analyse_file.job(path) for path in itertools.islice(self._files, _A_TICK)]
                self.accepted += [handle.id for handle in await app.enqueue_many(jobs)]
            await asyncio.sleep(_TICK)
