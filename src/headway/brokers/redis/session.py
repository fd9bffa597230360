"""An app on a Redis: its command connection, its prefix, its clock; and the kinds of its jobs, known by number."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headway.brokers.redis.scripts import script
from headway.brokers.redis.wire.blocking import NO_ANSWER
from headway.brokers.redis.wire.call import Argument, Call, ScriptCall, pack_script
from headway.brokers.redis.wire.commands import CALL_DEADLINE
from headway.errors import BrokerRefusedError
from headway.job import PRIORITY_MAX, PRIORITY_MIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from headway.brokers.base import Retention
    from headway.brokers.redis.wire.commands import Commands
    from headway.clock import Clock


_MOST_KINDS: Final = 20_000  # known at a time: queues may be named as a program runs, without end
_TIMED: Final = frozenset({"claim", "heartbeat", "tend"})  # scripts by which leases end


class Kind(NamedTuple):
    """What jobs have in common: it is stored once, and each job carries its number."""

    priority: int
    queue: str
    task: str

    def text(self) -> bytes:
        """As the server keeps it: priority digit, length of the queue's name, colon, queue, task."""
        queue = self.queue.encode()
        if not PRIORITY_MIN <= self.priority <= PRIORITY_MAX:
            msg = f"task {self.task!r}: priorities are {PRIORITY_MIN} to {PRIORITY_MAX}, got {self.priority}"
            raise BrokerRefusedError(msg)
        return b"%d%d:%b%b" % (self.priority, len(queue), queue, self.task.encode())


@lru_cache(maxsize=4096)  # there are few, and each job that is handed over brings one
def parse_kind(text: bytes) -> Kind | None:
    """Read a kind as the server keeps it; None when it is damaged."""
    head, _, names = text.partition(b":")
    try:
        size = int(head[1:])
        return Kind(int(head[:1]), names[:size].decode(), names[size:].decode())
    except ValueError:
        return None


class Session:
    """Calls of one app over one command connection."""

    def __init__(
        self, over: Commands, prefix: str, *, clock: Clock | None, record_events: bool, retention: Retention
    ) -> None:
        """Make calls `over` a connection. Without a `clock` the server's own counts."""
        self.prefix = prefix
        self.retention = retention
        self._commands = over
        self._clock = clock
        self._flags = "e" if record_events else ""
        self._numbers: dict[Kind, bytes] = {}
        self._kinds: dict[bytes, Kind] = {}
        self._generation = b""
        self._server_ms = 0  # its clock, as it last said
        self._server_at = 0.0  # time.monotonic() of that

    def submit(
        self,
        name: str,
        *parts: Argument,
        repeat: bool = False,
        at_once: bool = False,
        look: bool = False,
        read: Callable[[Any], Any] | None = None,
    ) -> asyncio.Future[Any]:
        """Send a script on its way; `repeat` as in `run`, `at_once` and `look` as in `Commands.submit`."""
        call = self.call(name, *parts, read=read)
        call.repeated = repeat
        return self._commands.submit(call, at_once=at_once, look=look)

    def call(self, name: str, *parts: Argument, read: Callable[[Any], Any] | None = None) -> Call:
        """Make a call of a script without sending it."""
        now = "" if self._clock is None else self._clock.now_ms()
        deadline = asyncio.get_running_loop().time() + CALL_DEADLINE
        call = ScriptCall(script(name), (self.prefix, now), self._flags, parts, deadline)
        if self._clock is None and name in _TIMED:
            call.expected_ms = self._expected_ms
        call.read = read
        return call

    @property
    def records_events(self) -> bool:
        """Whether every life-cycle event is recorded, also while nobody watches."""
        return bool(self._flags)

    def run_blocking(self, name: str, *parts: Argument) -> Any:  # noqa: ANN401 - the script's answer
        """Run a script without the loop, from any thread; None when it has to go through it."""
        now = "" if self._clock is None else self._clock.now_ms()
        answer = self._commands.blocking.call(
            pack_script(script(name), self.prefix, now, self._flags, *parts)
        )
        return None if answer is NO_ANSWER else answer

    def known_number(self, kind: Kind) -> bytes | None:
        """Return the number of a kind if it has been asked for before; from any thread."""
        return self._numbers.get(kind)

    async def run(self, name: str, *parts: Argument, repeat: bool = False) -> Any:  # noqa: ANN401 - the script's answer
        """Run a script. `repeat`: an earlier call, whose answer was lost, may have done the same already."""
        return await self.submit(name, *parts, repeat=repeat)

    async def run_timed(self, name: str, *parts: Argument) -> Any:  # noqa: ANN401 - the script's answer
        """Run a script whose answer ends with the time on the server's clock, and remember it."""
        sent_at = time.monotonic()  # taken first: the server read its clock after this
        answer = await self.submit(name, *parts)
        self._server_ms, self._server_at = int(answer[-1]), sent_at
        return answer

    def _expected_ms(self) -> int:
        """Return what the server's clock (ms) should show, by the time since it last said; 0: not known."""
        if not self._server_ms:
            return 0
        return self._server_ms + round((time.monotonic() - self._server_at) * 1000)

    async def command(self, *parts: Argument) -> Any:  # noqa: ANN401 - the server's answer
        """Run one command of Redis that does no harm when it is repeated."""
        return await self._commands.submit(Call(parts, asyncio.get_running_loop().time() + CALL_DEADLINE))

    async def try_command(self, *parts: Argument) -> Any:  # noqa: ANN401 - the server's answer
        """Run a command; None when the server does not permit it."""
        try:
            return await self.command(*parts)
        except BrokerRefusedError:
            return None

    async def numbers(self, kinds: Iterable[Kind]) -> dict[Kind, bytes]:
        """Return the numbers of kinds; new ones are given numbers by the server."""
        wanted = list(kinds)
        # Kept here as well: while the server answers, another call may find that all numbers are others.
        found = {kind: self._numbers[kind] for kind in wanted if kind in self._numbers}
        missing = [kind for kind in wanted if kind not in found]
        if missing:
            if len(self._numbers) > _MOST_KINDS:
                self.forget_kinds()
            for kind, number in zip(
                missing, await self.run("intern", *(kind.text() for kind in missing)), strict=True
            ):
                found[kind] = self._numbers[kind] = number
                self._kinds[number] = kind
        return found

    def learn_kinds(self, news: Sequence[bytes]) -> Mapping[bytes, Kind]:
        """Return the kinds by their numbers. `news`: the generation of the numbers, then number and text of some."""
        if news:
            self._is_of(news[0])
        for number, text in zip(news[1::2], news[2::2], strict=True):
            # Known ones as well: a server that lost its last writes gives their numbers to others.
            if (kind := parse_kind(text)) is not None:
                self._kinds[number] = kind
        return self._kinds

    async def kinds(self, numbers: Iterable[bytes], generation: bytes) -> Mapping[bytes, Kind]:
        """Return the kinds by their numbers, without unknown or damaged ones. `generation` came with the numbers."""
        self._is_of(generation)
        known = self._kinds
        missing = [number for number in set(numbers) if number not in known]
        if missing:
            texts = await self.command("HMGET", f"{self.prefix}kinds", *missing)
            for number, text in zip(missing, texts, strict=True):
                kind = parse_kind(text) if text is not None else None
                if kind is not None:
                    known[number] = kind
        return known

    def _is_of(self, generation: bytes) -> None:
        if generation != self._generation or len(self._kinds) > _MOST_KINDS:
            self.forget_kinds()
            self._generation = generation

    def forget_kinds(self) -> None:
        """The server's numbers are others than ours: it was emptied or restored from an older state."""
        self._numbers.clear()
        self._kinds = {}
