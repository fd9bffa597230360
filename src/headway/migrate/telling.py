"""A command that migrates tells how it gets on: into the control store of the app, beside its routes.

Every other second, and at its end. It costs the jobs nothing: a store that does not answer is tried again, and no
migration fails since nobody could be told of it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from headway.errors import ConfigError, HeadwayError
from headway.migrate.keeping import change_migration, list_migration
from headway.migrate.merging import Glance, begun, merged, told
from headway.migrate.status import Command, Migration, Outcome, Run, migration_id, name_of, words_of
from headway.routing.changing import control_carrier
from headway.service import Services
from headway.storage.redis.location import parse
from headway.text import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType
    from typing import Self

    from headway.app.app import Headway
    from headway.brokers.base import ControlStore
    from headway.clock import Clock
    from headway.migrate.source import Source

EVERY: Final = 2.0
"""Seconds between two words while something happens."""
AT_LEAST: Final = 10.0
"""Seconds between two words while nothing does: whoever reads takes a command for dead after 30 s."""
_PATIENCE: Final = 5.0  # seconds, for the last word
_MAX_OPTIONS: Final = 500  # characters of the options that are kept

_log: Final = logging.getLogger("headway.migrate")


def about(source: Source, url: str, words: Sequence[str]) -> Migration:
    """Return what tells the migration of a source from others; no secret of its URL is in it."""
    server = name_of(_server(url))
    kind, identity = name_of(source.kind), name_of(source.identity)
    kept = tuple(words) if sum(map(len, words)) <= _MAX_OPTIONS else ()
    return Migration(migration_id(kind, server, identity), kind, server, identity, words=kept)


def _server(url: str) -> str:
    try:
        return parse(url).name
    except ConfigError:  # of a source of somebody's own
        head, separator, rest = redact(url).partition("://")
        return f"{head}{separator}{rest.rpartition('@')[2].partition('?')[0]}"


class Telling:
    """Tells of one run, as long as it is entered. Where no carrier keeps control documents, nobody is told."""

    def __init__(
        self,
        app: Headway,
        migration: Migration,
        command: Command,
        who: str,
        queues: Collection[str],
    ) -> None:
        """The app is open. `glance`, to be set, returns what the command knows."""
        found = control_carrier(app.carriers)
        self.glance: Callable[[], Glance] = Glance
        self._control: ControlStore | None = None if found is None else found[1]
        self._clock: Clock = app.clock
        self._migration = migration
        self._queues = queues
        self._run = Run(
            secrets.token_hex(8), command, name_of(who), started_ms=0, seen_ms=0, queues=len(queues)
        )
        self._last: Glance | None = None  # what was written last
        self._said_at = 0.0
        self._writing: asyncio.Task[None] | None = None
        self.services = Services(_log, f"migrate {command}")

    @property
    def is_heard(self) -> bool:
        """Whether there is a store that keeps what is told."""
        return self._control is not None

    async def __aenter__(self) -> Self:
        """Begin to tell."""
        if self._control is not None:
            self.services.start("telling", self._round)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell how it ended."""
        await self.services.stop()
        if self._control is None:
            return
        outcome, why = _ending(error)
        try:
            async with asyncio.timeout(_PATIENCE):
                if self._writing is not None:
                    await asyncio.gather(self._writing, return_exceptions=True)
                await self._tell(self.glance(), outcome, why)
        except (HeadwayError, TimeoutError) as failed:
            _log.warning(
                "how this run ended is not kept with the jobs: %s", str(failed) or "no answer in time"
            )

    async def _round(self) -> float:
        glance = self.glance()
        now = asyncio.get_running_loop().time()
        if not self._is_news(glance) and now - self._said_at < AT_LEAST:
            return EVERY
        # Not cut off when the command ends: nobody would know what was written, and it might be counted twice.
        self._writing = asyncio.create_task(self._tell(glance))
        await asyncio.shield(self._writing)
        self._said_at = now
        return EVERY

    def _is_news(self, glance: Glance) -> bool:
        if self._last is None:
            return True
        same = replace(glance, progress=self._last.progress)
        return same != self._last or glance.progress.done != self._last.progress.done

    async def _tell(self, glance: Glance, outcome: Outcome | None = None, error: str = "") -> None:
        control = self._control
        if control is None:
            return
        is_first, last = self._last is None, self._last or Glance()
        run = self._run

        def edit(before: Migration | None, now_ms: int) -> Migration:
            nonlocal run
            base = self._migration if before is None else replace(before, words=self._migration.words)
            run = told(replace(self._run, started_ms=self._run.started_ms or now_ms), glance, now_ms)
            if outcome is not None:
                run = replace(run, ended_ms=now_ms, outcome=outcome, error=error, rate=0.0, left_s=None)
            if is_first:
                base = begun(base, run, self._queues)
            return merged(base, run, glance, last, self._queues)

        await change_migration(control, self._migration.id, edit, self._clock)
        self._run, self._last = run, glance
        if is_first:
            await list_migration(control, self._migration.id, run.started_ms)


def _ending(error: BaseException | None) -> tuple[Outcome, str]:
    if error is None:
        return Outcome.DONE, ""
    if isinstance(error, asyncio.CancelledError | KeyboardInterrupt | SystemExit):
        return Outcome.STOPPED, ""
    # What we raise has no password in it; of anything else nobody knows.
    return Outcome.FAILED, words_of(str(error) if isinstance(error, HeadwayError) else type(error).__name__)
