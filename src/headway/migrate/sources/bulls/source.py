"""The source of a queue system whose jobs lie in lists and sorted sets: what is alike in BullMQ and Bull."""

from __future__ import annotations

import re
import secrets
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from headway.errors import BrokerRefusedError, ConfigError
from headway.migrate.ledger import Ledger, head_of, letter_of
from headway.migrate.server import SourceServer
from headway.migrate.source import Stays, Taken
from headway.migrate.sources.bulls.keys import Keys, ledger_pattern, queue_pattern
from headway.migrate.sources.bulls.pages import Pages
from headway.migrate.sources.bulls.places import usual_state
from headway.migrate.sources.bulls.reading import shown
from headway.migrate.sources.bulls.scripts import SHARED, load_script
from headway.migrate.sources.bulls.tokens import read_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from headway.migrate.found import FoundJob, FoundSchedule, FoundState
    from headway.migrate.source import Back, Entry, EntryPage, Status, Wanted, WantedSchedule
    from headway.migrate.sources.bulls.places import Place
    from headway.migrate.sources.bulls.reading import Raw

PREFIX: Final = "bull"  # of both libraries, unless they are told another
MAX_BYTES: Final = 1024 * 1024
_TITLES: Final = {"bull": "Bull", "bullmq": "BullMQ"}
_TAKEN_AT_ONCE: Final = 12  # jobs a call: about a millisecond
_BEYOND: Final = -2  # of take.lua: not found, in a list that is longer than it looks through
_FAR: Final = (
    "it lies over 10,000 entries from both ends of its list, and is reached when those before it have gone"
)
_BACK_AT_ONCE: Final = 10
_OLDEST: Final = (6, 2)  # LPOS, and RPOP with a count
_VERSION: Final = re.compile(r"redis_version:(\d+)\.(\d+)")
_HELD: Final = (":logs", ":dependencies", ":processed", ":failed", ":unsuccessful", ":job", ":job:logs")


class BullsSource(ABC):
    """One prefix of a Redis, with all its queues."""

    def __init__(self, url: str, *, prefix: str = PREFIX, max_bytes: int = MAX_BYTES) -> None:
        """`max_bytes` of a job's data are read. ConfigError names what is wrong with the URL."""
        self._server = SourceServer(url)
        self._prefix = prefix
        self._ledger = Ledger(self._server, _HELD)
        self._taker = secrets.token_hex(8)
        self._pages = Pages(self._server, self._found, max_bytes)

    # --- what the two tell apart ---------------------------------------------------------------------------------

    @property
    @abstractmethod
    def kind(self) -> str:
        """Its word on the command line."""

    @property
    @abstractmethod
    def _places(self) -> Sequence[Place]:
        """Where jobs lie, in the order in which they are run."""

    @property
    @abstractmethod
    def _package(self) -> str:
        """Where its scripts lie."""

    @abstractmethod
    async def _is_paused(self, keys: Keys) -> bool:
        """Whether the queue is paused."""

    @abstractmethod
    async def _found(self, keys: Keys, place: Place, raw: Raw, paused: bool) -> FoundJob:  # noqa: FBT001 - called by Pages
        """Make a job of what was read; UnreadableError says why it cannot be one."""

    @abstractmethod
    async def repeatables(self, queue: str) -> list[FoundSchedule]:
        """Return the repeating entries of a queue, sorted by id."""

    @abstractmethod
    async def take_repeatable(self, queue: str, wanted: WantedSchedule) -> Taken | None:
        """Take a repeating entry, and the job of its next fire."""

    @abstractmethod
    async def put_back_repeatable(self, queue: str, back: Back, *, next_ms: int | None = None) -> bool:
        """Put a repeating entry back, with the job of its next fire."""

    # --- opening -------------------------------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """The prefix: what tells two sources of this kind apart."""
        return self._prefix

    async def open(self) -> None:
        """Connect; ConfigError when the server is too old."""
        await self._server.open()
        info = await self._server.run(load_script(SHARED, "info"), ["headway-migrate"])
        found = _VERSION.search(info.decode(errors="replace"))
        if found and (int(found[1]), int(found[2])) < _OLDEST:
            await self.close()
            msg = f"{self._server.name} is Redis {found[1]}.{found[2]}: migrating needs 6.2 or newer, for LPOS and RPOP"
            raise ConfigError(msg)

    async def close(self) -> None:
        """Release every connection."""
        await self._server.close()

    # --- reading -------------------------------------------------------------------------------------------------

    async def queues(self) -> list[str]:
        """Return the names of the queues, sorted."""
        names: set[str] = set()
        for match, reader in (queue_pattern(self._prefix), ledger_pattern(self._prefix)):
            async for key in self._server.scan(match, "string"):
                if found := reader.fullmatch(key):
                    names.add(found[1])
        return [name for name in sorted(names) if await self._kind_of(self._keys(name)) == self.kind]

    async def counts(self, queue: str) -> Mapping[FoundState, int]:
        """Return how many jobs there are in each state, as far as lists and sets tell."""
        keys = await self._own(queue)
        paused = await self._is_paused(keys)
        counts: dict[FoundState, int] = {}
        for place in self._places:
            state = usual_state(place, paused=paused)
            number = await self._pages.count(keys, place)
            counts[state] = counts.get(state, 0) + max(number, 0)
        return counts

    async def pages(
        self, queue: str, states: Collection[FoundState], *, fresh_since_ms: int | None = None
    ) -> AsyncIterator[Sequence[FoundJob]]:
        """Yield the jobs of a queue in these states, fifty at a time."""
        keys = await self._own(queue)
        paused = await self._is_paused(keys)
        wanted = frozenset(states)
        for place in self._places:
            if place.states & wanted:
                found = self._pages.of(keys, place, paused=paused, fresh=fresh_since_ms is not None)
                async for page in found:
                    if chosen := [job for job in page if job.state in wanted]:
                        yield chosen

    async def logs(self, job: FoundJob) -> list[str]:
        """Return the last thousand log lines of a job, as far as they fit into a quarter of a megabyte."""
        key = self._keys(job.queue).of(job.source_id) + ":logs"
        lines = await self._server.run(load_script(SHARED, "logs"), [key])
        return [shown(line) for line in lines]

    async def now_ms(self) -> int:
        """Return the time by the server's clock."""
        seconds, micros = await self._server.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    # --- moving --------------------------------------------------------------------------------------------------

    async def take(self, queue: str, wanted: Sequence[Wanted]) -> list[Taken | Stays | None]:
        """Take jobs out of the source and into its ledger."""
        keys = self._keys(queue)
        script = load_script(self._package, "take")
        answers: list[Taken | Stays | None] = []
        while len(answers) < len(wanted):
            batch = wanted[len(answers) : len(answers) + _TAKEN_AT_ONCE]
            words = [word for one in batch for word in _words(one)]
            lives: list[int] = await self._server.run(script, [keys.ledger, keys.head], [self._taker, *words])
            answers += [_answer(one.entry_id, count) for one, count in zip(batch, lives, strict=False)]
        return answers

    async def mark(self, queue: str, entry_ids: Sequence[str], notes: Sequence[str]) -> None:
        """Make TAKEN entries ENQUEUED."""
        await self._ledger.mark(self._keys(queue).ledger, entry_ids, notes)

    async def put_back(self, queue: str, backs: Sequence[Back]) -> list[bool]:
        """Put jobs back where they were; the last one taken goes first, so that the order is what it was."""
        keys = self._keys(queue)
        script = load_script(self._package, "put_back")
        answers: list[bool] = []
        for first in range(0, len(backs), _BACK_AT_ONCE):
            batch = backs[first : first + _BACK_AT_ONCE]
            words = [word for one in batch for word in (one.entry_id, letter_of(one.status), one.note)]
            done: list[int] = await self._server.run(script, [keys.ledger, keys.head], [self._taker, *words])
            answers += [bool(one) for one in done]
        return answers

    # --- the ledger ----------------------------------------------------------------------------------------------

    async def entries(
        self, queue: str, *, status: Status | None = None, after: int = 0, limit: int = 200
    ) -> EntryPage:
        """Return entries by their numbers."""
        return await self._ledger.entries(
            self._keys(queue).ledger, queue, status=status, after=after, limit=limit
        )

    async def find(self, queue: str, entry_ids: Sequence[str]) -> list[Entry | None]:
        """Return the entries by their ids."""
        return await self._ledger.find(self._keys(queue).ledger, queue, entry_ids)

    async def adopt(self, queue: str, entry_ids: Sequence[str], *, older_than_ms: int) -> list[bool]:
        """Go on with what somebody else has taken."""
        return await self._ledger.adopt(self._keys(queue).ledger, self._taker, entry_ids, older_than_ms)

    async def forget(self, queue: str, entry_ids: Sequence[str]) -> None:
        """Drop entries that are not TAKEN."""
        await self._ledger.forget(self._keys(queue).ledger, entry_ids)

    # --- parts ---------------------------------------------------------------------------------------------------

    async def _own(self, queue: str) -> Keys:
        """Return the keys of a queue; BrokerRefusedError when it is one of the other library."""
        keys = self._keys(queue)
        kind = await self._kind_of(keys)
        if kind != self.kind and await self._server.command("EXISTS", keys.of("id")):
            msg = f"queue {queue!r} is one of {_TITLES[kind]}: write --from {kind}"
            raise BrokerRefusedError(msg)
        return keys

    async def _kind_of(self, keys: Keys) -> str:
        return shown(await self._server.run(load_script(SHARED, "kind"), [keys.ledger, keys.head]))

    def _keys(self, queue: str) -> Keys:
        return Keys(self._prefix, queue)


def _answer(entry_id: str, count: int) -> Taken | Stays | None:
    if count == _BEYOND:
        return Stays(_FAR)
    return None if count < 0 else Taken(entry_id, count)


def _words(one: Wanted) -> Sequence[str | bytes | int]:
    token = read_token(one.job.token)
    return (
        one.entry_id,
        head_of(one),
        one.job.state.value,
        one.intent,
        one.job.source_id,
        token.place,
        token.score,
        token.seal,
        token.dedup,
        int(token.dedup_holds),
    )
