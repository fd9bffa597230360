"""The inline app for tests without an event loop: of Flask, Django, scripts."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from headway.app.portal import Portal
from headway.testing.inlining import inline

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from headway.app.app import Headway
    from headway.app.lifespan import Resource
    from headway.app.task import Task
    from headway.job import JobState
    from headway.testing.clock import FakeClock
    from headway.testing.faults import FaultyBroker
    from headway.testing.inlined import Inline
    from headway.testing.seen import SeenJob


class InlineSync:
    """The blocking twin of Inline. The jobs run on the loop of a thread of its own."""

    def __init__(self, box: Inline, portal: Portal) -> None:
        """Made by `inline_sync`."""
        self._box = box
        self._portal = portal
        self.app = box.app
        self.clock: FakeClock = box.clock
        self.faults: FaultyBroker = box.faults
        self.errors = box.errors

    def run_until_idle(
        self, *, skip_delays: bool = False, raise_errors: bool = True, timeout: float = 30.0
    ) -> int:
        """Run jobs until none is ready; see `Inline.run_until_idle`."""
        return self._portal.call(
            self._box.run_until_idle, skip_delays=skip_delays, raise_errors=raise_errors, timeout=timeout
        )

    def fire_schedules(self) -> int:
        """Enqueue the jobs of schedules that are due; return how many."""
        return self._portal.call(self._box.fire_schedules)

    def jobs(
        self,
        task: Task[Any, Any] | str | None = None,
        *,
        state: JobState | None = None,
        queue: str | None = None,
    ) -> list[SeenJob]:
        """Return the jobs that were enqueued so far; see `Inline.jobs`."""
        return self._portal.call(self._box.jobs, task, state=state, queue=queue)


@contextmanager
def inline_sync(
    app: Headway,
    *,
    clock: FakeClock | None = None,
    directory: Path | None = None,
    resources: Mapping[Resource[Any], object] | None = None,
) -> Generator[InlineSync]:
    """Do as `inline` does, for blocking code: `task.sync.enqueue(...)`, `job.result()`, `box.run_until_idle()`."""
    portal = Portal(_nothing, _nothing)
    opening = inline(app, clock=clock, directory=directory, resources=resources)
    try:
        box = portal.call(opening.__aenter__)
        try:
            yield InlineSync(box, portal)
        finally:
            portal.call(opening.__aexit__, None, None, None)
    finally:
        portal.close()


async def _nothing() -> None:
    """Nothing to open: `inline` does it."""
