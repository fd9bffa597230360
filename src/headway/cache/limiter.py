"""A rate limiter: the generic cell rate algorithm, in one script.

Source: ITU-T Recommendation I.371, annex A (in its "virtual scheduling" form); also ATM Forum, Traffic Management 4.0.
For each key one instant is kept, the theoretical arrival time: when the next one would come if all came evenly spaced.
One that comes no more than the tolerance before it is allowed, and moves it on by the spacing.

Jobs that a worker claimed together ask together: what is asked in one turn of the loop goes out in one command.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from headway.cache.base import Allowed, Denied
from headway.cache.rate import checked_rate
from headway.errors import BrokerError, BrokerRefusedError
from headway.storage.redis.replies import explain
from headway.storage.redis.server import load_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.cache.rate import Pace
    from headway.clock import Clock
    from headway.storage.redis.server import RedisServer, Word

_MOST: Final = 200  # calls in one command: others wait for a server that runs a script


class _Ask(NamedTuple):
    """One call of `limit`."""

    key: str
    pace: Pace
    cost: int
    answer: asyncio.Future[Allowed | Denied]


class RedisLimiter:
    """A Limiter, see there."""

    def __init__(self, server: RedisServer, namespace: str, clock: Clock | None = None) -> None:
        """The server is opened with the first call. Without a `clock`, the server's is the one for all."""
        self._server = server
        self._prefix = f"hw:{{{namespace}}}:rate:"
        self._clock = clock
        self._waiting: list[_Ask] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def limit(self, key: str, rate: str, *, cost: int = 1) -> Allowed | Denied:
        """See Limiter."""
        pace = checked_rate(rate, key, cost)
        await self._server.open()
        loop = asyncio.get_running_loop()
        ask = _Ask(self._prefix + key, pace, cost, loop.create_future())
        if not self._waiting:
            # In no job's context: it asks for others too.
            loop.call_soon(self._send, context=Context())
        self._waiting.append(ask)
        return await ask.answer

    async def reset(self, key: str) -> None:
        """See Limiter."""
        await self._server.open()
        await self._server.command("DEL", self._prefix + key)

    def _send(self) -> None:
        """Put what was asked in this turn on its way."""
        asked, self._waiting = [ask for ask in self._waiting if not ask.answer.done()], []
        for first in range(0, len(asked), _MOST):
            task = asyncio.get_running_loop().create_task(self._ask(asked[first : first + _MOST]))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _ask(self, asked: Sequence[_Ask]) -> None:
        """Answer these calls; a refusal of all together may be the fault of one, so then each goes alone."""
        try:
            answers = await self._answers(asked)
        except BrokerRefusedError as error:
            if len(asked) > 1:
                await asyncio.gather(*(self._ask([ask]) for ask in asked))
            else:
                _fail(asked, error)
        except asyncio.CancelledError:
            for ask in asked:
                ask.answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - their callers are told
            _fail(asked, error)
        else:
            for ask, status, number in zip(asked, answers[::2], answers[1::2], strict=True):
                self._hand_on(ask.answer, status, number)

    def _hand_on(self, future: asyncio.Future[Allowed | Denied], status: Any, number: Any) -> None:  # noqa: ANN401 - what the script returned
        if future.done():  # its caller has gone
            return
        match int(status):
            case 1:
                future.set_result(Allowed(int(number)))
            case 0:
                future.set_result(Denied(int(number) / 1_000_000))
            case _:
                future.set_exception(explain(self._server.name, number))

    async def _answers(self, asked: Sequence[_Ask]) -> list[Any]:
        words: list[Word] = ["" if self._clock is None else self._clock.now_ms() * 1000]
        for ask in asked:
            words += (*ask.pace, ask.cost)
        keys = [ask.key for ask in asked]
        answer = await self._server.run(load_script("headway.cache", "limit"), keys, words)
        answers: list[Any] = answer.value
        return answers


def _fail(asked: Sequence[_Ask], error: Exception) -> None:
    """Raise the error for each caller: of its own, for a traceback grows wherever its exception is raised."""
    for ask in asked:
        if not ask.answer.done():
            own = type(error)(*error.args) if isinstance(error, BrokerError) else error
            own.__cause__ = error.__cause__
            ask.answer.set_exception(own)
