"""A rate limiter: the generic cell rate algorithm, in one script.

Source: ITU-T Recommendation I.371, annex A (in its "virtual scheduling" form); also ATM Forum, Traffic Management 4.0.
For each key one instant is kept, the theoretical arrival time: when the next one would come if all came evenly spaced.
One that comes no more than the tolerance before it is allowed, and moves it on by the spacing.

What is asked in one turn of the loop, or while the server is busy with what was asked before, goes out in one command,
and equal calls are counted in it: the jobs of a worker ask one after the other, and a command each would cost many
times what they do besides.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from headway.cache.base import Allowed, Denied
from headway.cache.rate import checked_rate
from headway.errors import BrokerError, BrokerRefusedError
from headway.storage.redis.replies import explain
from headway.storage.redis.server import load_script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.clock import Clock
    from headway.storage.redis.server import RedisServer, Word

_MOST: Final = 200  # different calls in one command: others wait for a server that runs a script
_GATHER: Final = 0.001  # seconds from an answer to the next command: whom it let go on, others follow soon
_LINGER: Final = 0.01  # seconds that a call waits for the answer to those before it, at most
_VALUES: Final = 3  # in the script's answer for each call


class _Call(NamedTuple):
    """What is asked."""

    key: str
    rate: str
    cost: int


_Callers: TypeAlias = "list[asyncio.Future[Allowed | Denied]]"


class RedisLimiter:
    """A Limiter, see there."""

    def __init__(self, server: RedisServer, namespace: str, clock: Clock | None = None) -> None:
        """The server is opened with the first call. Without a `clock`, the server's is the one for all."""
        self._server = server
        self._prefix = f"hw:{{{namespace}}}:rate:"
        self._clock = clock
        self._waiting: dict[_Call, _Callers] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._due: asyncio.Handle | None = None

    async def limit(self, key: str, rate: str, *, cost: int = 1) -> Allowed | Denied:
        """See Limiter."""
        call = _Call(key, rate, cost)
        callers = self._waiting.get(call)
        if callers is None:  # else another one has been looked at
            checked_rate(rate, key, cost)
            await self._server.open()
            callers = self._waiting.setdefault(call, [])
        caller: asyncio.Future[Allowed | Denied] = asyncio.get_running_loop().create_future()
        callers.append(caller)
        if self._due is None:
            self._send_in(_LINGER if self._sending else 0)
        return await caller

    async def reset(self, key: str) -> None:
        """See Limiter."""
        await self._server.open()
        await self._server.command("DEL", self._prefix + key)

    def _send_in(self, seconds: float) -> None:
        if self._due is not None:
            self._due.cancel()
        # In no job's context: it asks for others too.
        self._due = asyncio.get_running_loop().call_later(seconds, self._send, context=Context())

    def _send(self) -> None:
        """Put what waits on its way."""
        self._due = None
        calls, self._waiting = iter(self._waiting.items()), {}
        while asked := dict(islice(calls, _MOST)):
            task = asyncio.get_running_loop().create_task(self._ask(asked))
            self._sending.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if self._waiting and not self._sending:
            self._send_in(_GATHER)

    async def _ask(self, asked: Mapping[_Call, _Callers]) -> None:
        """Answer these calls; a refusal of all together may be the fault of one, so then each goes alone."""
        try:
            answers = await self._answers(asked)
        except BrokerRefusedError as error:
            if len(asked) > 1:
                await asyncio.gather(*(self._ask({call: callers}) for call, callers in asked.items()))
            else:
                _fail(asked, error)
        except asyncio.CancelledError:
            for callers in asked.values():
                for caller in callers:
                    caller.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - their callers get it
            _fail(asked, error)
        else:
            for number, (call, callers) in enumerate(asked.items()):
                allowed, rest, early = answers[_VALUES * number : _VALUES * (number + 1)]
                if int(allowed) < 0:
                    _fail({call: callers}, explain(self._server.name, str(rest)))
                else:
                    _hand_on(callers, int(allowed), int(rest), call.cost, int(early) / 1_000_000)

    async def _answers(self, asked: Mapping[_Call, _Callers]) -> list[Any]:
        for callers in asked.values():
            callers[:] = [caller for caller in callers if not caller.done()]  # who has gone takes nothing
        words: list[Word] = ["" if self._clock is None else self._clock.now_ms() * 1000]
        for call, callers in asked.items():
            pace = checked_rate(call.rate, call.key, call.cost)
            words.append(f"{pace.spacing} {pace.burst} {call.cost:d} {len(callers)}")
        keys = [self._prefix + call.key for call in asked]
        answer = await self._server.run(load_script("headway.cache", "limit"), keys, words)
        answers: list[Any] = answer.value
        return answers


def _hand_on(callers: _Callers, allowed: int, rest: int, cost: int, retry_after: float) -> None:
    """Answer equal calls in their order: the first `allowed` of them have taken theirs, one after the other."""
    denied = Denied(retry_after)
    for number, caller in enumerate(callers, 1):
        if not caller.done():  # else it has gone meanwhile
            caller.set_result(Allowed(rest + cost * (allowed - number)) if number <= allowed else denied)


def _fail(asked: Mapping[_Call, Sequence[asyncio.Future[Allowed | Denied]]], error: Exception) -> None:
    """Raise the error for each caller: one of its own, for a traceback grows wherever its exception is raised."""
    for callers in asked.values():
        for caller in callers:
            if not caller.done():
                own = type(error)(*error.args) if isinstance(error, BrokerError) else error
                own.__cause__ = error.__cause__
                caller.set_exception(own)
