"""arq as a source.

A queue is a sorted set of job ids by their due times in ms; running ones stay in it, beside a key
`arq:in-progress:<id>`. The data of a job is `arq:job:<id>`, with a time to live. A job is taken by renaming that key
into the ledger and leaving the set, in one script that also touches the in-progress key: a worker that has just chosen
the job watches that key, and lets it alone.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from headway.errors import BrokerRefusedError, ConfigError
from headway.migrate.found import FoundState
from headway.migrate.ledger import Ledger, head_of, letter_of
from headway.migrate.scripts import load_script
from headway.migrate.server import SourceServer
from headway.migrate.source import Stays, Taken
from headway.migrate.sources.arq.reading import ReadAs, Row, Serializer, read_job, read_result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from headway.migrate.found import FoundJob, FoundSchedule
    from headway.migrate.opening import SourceOptions
    from headway.migrate.source import Back, Entry, EntryPage, Status, Wanted, WantedSchedule

DEFAULT_QUEUE: Final = "arq:queue"
_PACKAGE: Final = "headway.migrate.sources.arq"
_ABORTED: Final = "arq:abort"
_LEDGER: Final = ":headway"
_PAGE: Final = 50
_PAGE_BYTES: Final = 256 * 1024
_TAKEN: Final = 16  # jobs in one call: half a millisecond on a server that is not busy
_COLUMNS: Final = 8
_SAMPLED: Final = 5  # ids of a sorted set by which a queue is known
_FRESH_MS: Final = 10_000  # clocks of producers are off by as much


class ArqSource:
    """The queues of one Redis database that arq uses."""

    kind = "arq"
    identity = ""  # arq has no prefix

    def __init__(self, url: str, how: ReadAs | None = None) -> None:
        """ConfigError names what is wrong with the URL."""
        self._server = SourceServer(url)
        self._ledger = Ledger(self._server)
        self._how = how or ReadAs()
        self._taker = secrets.token_hex(8)

    async def open(self) -> None:
        """Connect."""
        await self._server.open()

    async def close(self) -> None:
        """Disconnect."""
        await self._server.close()

    # --- reading ------------------------------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        """Return the sorted sets whose members are ids of jobs, and those that have a ledger."""
        found: set[str] = set()
        async for key in self._server.scan("*", "zset"):
            if key.endswith(f"{_LEDGER}:open"):
                found.add(key.removesuffix(f"{_LEDGER}:open"))
            elif key != _ABORTED and key not in found and await self._is_queue(key):
                found.add(key)
        async for key in self._server.scan(f"*{_LEDGER}:n", "string"):
            found.add(key.removesuffix(f"{_LEDGER}:n"))
        return sorted(found)

    async def _is_queue(self, key: str) -> bool:
        if key == DEFAULT_QUEUE:
            return True
        ids = await self._server.command("ZRANGE", key, 0, _SAMPLED - 1)
        return bool(ids) and bool(await self._server.command("EXISTS", *(b"arq:job:" + one for one in ids)))

    async def counts(self, queue: str) -> Mapping[FoundState, int]:
        """Return how many are due, and how many are not yet; running ones are among the first."""
        await self._check(queue)
        now_ms = await self.now_ms()
        due = int(await self._server.command("ZCOUNT", queue, "-inf", now_ms))
        later = int(await self._server.command("ZCOUNT", queue, f"({now_ms}", "+inf"))
        return {FoundState.WAITING: due, FoundState.DELAYED: later}

    async def _check(self, queue: str) -> None:
        kind = await self._server.command("TYPE", queue)
        if kind not in {b"zset", b"none"}:
            msg = f"{queue!r} is no queue of arq: it holds a {kind.decode()}, not a sorted set"
            raise BrokerRefusedError(msg)

    async def pages(
        self, queue: str, states: Collection[FoundState], *, fresh_since_ms: int | None = None
    ) -> AsyncIterator[Sequence[FoundJob]]:
        """Yield jobs by their due times, those of one ms by their ids, as arq's workers see them."""
        wanted = frozenset(states)
        if wanted & {FoundState.COMPLETED, FoundState.FAILED}:
            async for page in self._ended(queue, wanted):
                yield page
        if wanted <= {FoundState.COMPLETED, FoundState.FAILED}:
            return
        await self._check(queue)
        after: tuple[bytes | str, bytes | str] = ("-inf", "")
        if fresh_since_ms is not None:
            after = (str(fresh_since_ms - _FRESH_MS), "")
        script = load_script(_PACKAGE, "page")
        while True:
            words = (*after, _PAGE, self._how.max_bytes, _PAGE_BYTES)
            now, *cells = await self._server.run(script, [queue], words)
            rows = [_row(cells[at : at + _COLUMNS]) for at in range(0, len(cells), _COLUMNS)]
            if not rows:
                return
            jobs = [read_job(queue, row, int(now), self._how) for row in rows]
            if page := [job for job in jobs if job.state in wanted]:
                yield page
            after = (rows[-1].score, rows[-1].id)

    async def _ended(self, queue: str, wanted: Collection[FoundState]) -> AsyncIterator[Sequence[FoundJob]]:
        page: list[FoundJob] = []
        async for key in self._server.scan("arq:result:*", "string"):
            if int(await self._server.command("STRLEN", key)) > self._how.max_bytes:
                continue
            data = await self._server.command("GET", key)
            found = None if data is None else read_result(key.removeprefix("arq:result:"), data, self._how)
            if found is not None and found.queue == queue and found.state in wanted:
                page.append(found)
            if len(page) >= _PAGE:
                yield page
                page = []
        if page:
            yield page

    async def repeatables(self, queue: str) -> list[FoundSchedule]:
        """Return nothing: cron jobs of arq are in the code of its workers, not in Redis."""
        del queue
        return []

    async def logs(self, job: FoundJob) -> list[str]:
        """Return nothing: arq keeps no logs."""
        del job
        return []

    async def now_ms(self) -> int:
        """Return the time by the server's clock."""
        seconds, micros = await self._server.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    # --- moving -------------------------------------------------------------------------------------------------

    async def take(self, queue: str, wanted: Sequence[Wanted]) -> list[Taken | Stays | None]:
        """Take jobs, each in one step."""
        script = load_script(_PACKAGE, "take")
        taken: list[Taken | Stays | None] = []
        for first in range(0, len(wanted), _TAKEN):
            some = wanted[first : first + _TAKEN]
            words: list[bytes | str | int] = [self._taker]
            for one in some:
                job = one.job
                words += [one.entry_id, job.source_id, job.token, head_of(one), one.intent, job.state.value]
            lives = await self._server.run(script, [queue + _LEDGER, queue], words)
            taken += [
                None if life < 0 else Taken(one.entry_id, life) for one, life in zip(some, lives, strict=True)
            ]
        return taken

    async def mark(self, queue: str, entry_ids: Sequence[str], notes: Sequence[str]) -> None:
        """Make entries that are taken enqueued."""
        await self._ledger.mark(queue + _LEDGER, entry_ids, notes)

    async def put_back(self, queue: str, backs: Sequence[Back]) -> list[bool]:
        """Put jobs back at their due times, with what is left of their time to live."""
        script = load_script(_PACKAGE, "put_back")
        done: list[bool] = []
        for first in range(0, len(backs), _TAKEN):
            words: list[str] = [self._taker]
            for one in backs[first : first + _TAKEN]:
                words += [one.entry_id, one.source_id, letter_of(one.status), one.note]
            done += [bool(one) for one in await self._server.run(script, [queue + _LEDGER, queue], words)]
        return done

    async def take_repeatable(self, queue: str, wanted: WantedSchedule) -> Taken | None:
        """Return None: there are none."""
        del queue, wanted
        return None

    async def put_back_repeatable(self, queue: str, back: Back, *, next_ms: int | None = None) -> bool:
        """Return false: there are none."""
        del queue, back, next_ms
        return False

    # --- the ledger ---------------------------------------------------------------------------------------------

    async def entries(
        self, queue: str, *, status: Status | None = None, after: int = 0, limit: int = 200
    ) -> EntryPage:
        """Return entries by their numbers."""
        return await self._ledger.entries(queue + _LEDGER, queue, status=status, after=after, limit=limit)

    async def find(self, queue: str, entry_ids: Sequence[str]) -> list[Entry | None]:
        """Return the entries by their ids."""
        return await self._ledger.find(queue + _LEDGER, queue, entry_ids)

    async def adopt(self, queue: str, entry_ids: Sequence[str], *, older_than_ms: int) -> list[bool]:
        """Go on with what somebody else has taken."""
        return await self._ledger.adopt(queue + _LEDGER, self._taker, entry_ids, older_than_ms)

    async def forget(self, queue: str, entry_ids: Sequence[str]) -> None:
        """Drop entries."""
        await self._ledger.forget(queue + _LEDGER, entry_ids)


def make(url: str, options: SourceOptions) -> ArqSource:
    """Make the source of a URL; ConfigError."""
    if options.serializer not in get_args(Serializer):
        msg = f"arq: the serializer must be one of {', '.join(get_args(Serializer))}; got {options.serializer!r}"
        raise ConfigError(msg)
    if options.prefix is not None:
        msg = "arq has no prefix: leave it out, and name the queues"
        raise ConfigError(msg)
    how = ReadAs(
        cast("Serializer", options.serializer), options.allow_pickle, options.classes, options.max_bytes
    )
    return ArqSource(url, how)


def _row(cells: Sequence[Any]) -> Row:
    one, score, running, size, data, attempts, kept_ms, aborted = cells
    return Row(
        id=one,
        score=score,
        running=bool(running),
        size=int(size),
        data=data,
        attempts=attempts,
        kept_ms=int(kept_ms),
        aborted=bool(aborted),
    )
