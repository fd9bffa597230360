"""One case: a carrier, the test's copy of the app, the worker groups, and the ledger at the end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from headway.errors import BrokerError
from tests.faults.effects import EFFECTS
from tests.faults.group import Group
from tests.faults.jobs import EVENTS, NAMESPACE, QUEUES, build, lines_of
from tests.faults.jumps import JumpedClock, jumped_environ
from tests.faults.ledger import Ledger
from tests.faults.soak_jobs import declare_soak
from tests.faults.until import NotInTimeError, until, until_told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from headway import Headway
    from headway.brokers.base import Store
    from headway.events import EventKind
    from headway.job import JobId, JobState


class Shop:
    """An async context manager: open inside, everything it started ended behind."""

    def __init__(
        self,
        url: str,
        namespace: str,
        folder: Path,
        *,
        worker_url: str | None = None,
        queues: int = 0,
        settings: Mapping[str, str | int] | None = None,
        show_logs: bool = True,
        events: bool = True,
        clock: Path | None = None,
        carriers: Mapping[str, str] | None = None,
    ) -> None:
        """`carriers` are several, by name, the first of them at `url`. `worker_url`: where the workers find the carrier, when not at `url`; `settings` are theirs.

        `clock` is the file by which the history sets the clock of all its processes.
        """
        self.url = url
        self.namespace = namespace
        self.folder = folder
        self.effects_path = folder / "effects.jsonl"
        self.groups: list[Group] = []
        self.accepted: list[JobId] = []
        self.uncertain: list[JobId] = []
        self.app: Headway = declare_soak(
            build(
                namespace,
                url=None if carriers else url,
                queues=queues,
                record_events=events,
                **({} if clock is None else {"clock": JumpedClock(clock)}),
                **({} if carriers is None else {"carriers": dict(carriers)}),
            )
        )
        self._events = events
        self._clock = clock
        self._worker_url = worker_url or url
        self._show_logs = show_logs
        self._settings = dict(settings or {})
        if carriers is not None:
            self._settings["carriers"] = ",".join(f"{name}={one}" for name, one in carriers.items())
        self._queues = queues

    async def __aenter__(self) -> Self:
        await self.app.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for group in self.groups:
                if self._show_logs:  # pytest shows them where a test failed
                    sys.stdout.write(
                        f"--- stderr of worker group {group.supervisor} ends with:\n{group.log()}\n"
                    )
                await group.close()
        finally:
            await self.app.close()

    @property
    def carrier(self) -> Store:
        """The carrier as the test has it open."""
        return self.app.carrier

    def environ(self, url: str | None = None) -> dict[str, str]:
        """Return the variables by which another process finds this case's app, and its carrier at `url`."""
        clock = {} if self._clock is None else jumped_environ(self._clock)
        return {
            "HEADWAY_URL": url or self.url,
            NAMESPACE: self.namespace,
            EFFECTS: str(self.effects_path),
            QUEUES: str(self._queues),
            EVENTS: "on" if self._events else "off",
            **{f"HEADWAY_{name.upper()}": str(value) for name, value in self._settings.items()},
            **clock,
        }

    async def group(
        self,
        *,
        processes: int = 1,
        concurrency: int = 20,
        lease: str = "2s",
        within: float = 40.0,
        **more: str,
    ) -> Group:
        """Start a worker group and wait until it claims; further options as of `headway worker`."""
        folder = self.folder / f"group{len(self.groups)}"
        folder.mkdir()
        options = ["--processes", str(processes), "--concurrency", str(concurrency), "--lease", lease]
        for name, value in more.items():
            options += [f"--{name.replace('_', '-')}", value]
        group = Group(folder, self.environ(self._worker_url), *options)
        self.groups.append(group)
        await group.start(within)
        return group

    async def enqueue(self, task: str, *args: Any, count: int = 1, **options: Any) -> list[JobId]:
        """Enqueue so many jobs of a task; they count as accepted from here on."""
        made: Any = self.app.find_task(task)
        chosen = made.options(**options) if options else made
        jobs = [chosen.job(*args) for _ in range(count)]
        try:
            handles = await self.app.enqueue_many(jobs)
        except BrokerError:
            # Whether they were accepted is open: the carrier knows.
            self.uncertain += [job.new.id for job in jobs]
            raise
        ids = [handle.id for handle in handles]
        self.accepted += ids
        return ids

    async def settle_uncertain(self) -> None:
        """Ask the carrier which jobs of failed calls it has: those count as accepted."""
        uncertain, self.uncertain = self.uncertain, []
        for first in range(0, len(uncertain), 500):
            some = uncertain[first : first + 500]
            self.accepted += [
                job_id
                for job_id, one in zip(some, await self.carrier.get(some), strict=True)
                if one is not None
            ]

    # --- what is known ------------------------------------------------------------------------------------------

    def effects(self, ids: Sequence[JobId] | None = None, what: str | None = None) -> list[dict[str, Any]]:
        """Return the lines of the effects ledger."""
        wanted = None if ids is None else set(ids)
        return [
            line
            for line in lines_of(self.effects_path)
            if (wanted is None or line["job"] in wanted) and (what is None or line["what"] == what)
        ]

    async def started(
        self, ids: Sequence[JobId], *, crashes: int | None = None, within: float = 20.0
    ) -> None:
        """Wait until the handler of each job was started, with so many crashes behind it if given."""

        def all_started() -> bool:
            lines = self.effects(ids, "start")
            return len({one["job"] for one in lines if crashes in {None, one["crashes"]}}) == len(ids)

        await until(all_started, f"{len(ids)} jobs start", within)

    async def states(self, ids: Sequence[JobId]) -> list[JobState | None]:
        """Return the present states; None for unknown jobs."""
        found: list[JobState | None] = []
        for first in range(0, len(ids), 500):
            records = await self.carrier.get(ids[first : first + 500])
            found += [None if one is None else one.state for one in records]
        return found

    async def finished(self, ids: Sequence[JobId] | None = None, within: float = 30.0) -> None:
        """Wait until these jobs (by default all accepted ones) are terminal."""
        wanted = self.accepted if ids is None else ids

        async def done() -> bool:
            return all(state is not None and state.terminal for state in await self.states(wanted))

        try:
            await until_told(done, f"{len(wanted)} jobs finish", within, pause=0.05)
        except NotInTimeError:
            (await self.ledger()).check()  # says which ones are missing
            raise

    async def ledger(self) -> Ledger:
        """Read the ledger."""
        return await Ledger.read(self.carrier, self.accepted, self.effects())

    async def checked(self, within: float = 30.0) -> Ledger:
        """Wait for the end of all accepted jobs and check the ledger."""
        await self.settle_uncertain()
        await self.finished(within=within)
        ledger = await self.ledger()
        ledger.check()
        return ledger

    async def seen(self, kind: EventKind, ids: Sequence[JobId], within: float = 20.0) -> Ledger:
        """Wait until an event of this kind was recorded for each of these jobs."""

        async def found() -> Ledger | None:
            ledger = await self.ledger()
            kinds = [{event.kind for event in ledger.events[job_id]} for job_id in ids]
            return ledger if all(kind in one for one in kinds) else None

        return await until_told(found, f"event {kind} of {len(ids)} jobs", within, pause=0.05)


def now_ms() -> int:
    """Return the clock of effects and events, in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
