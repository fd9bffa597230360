"""A carrier that fails when it is told to: before the write, after it, by hand or by a seeded plan."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from typing import TYPE_CHECKING, Final, Literal, TypeVar, get_args

from msgspec import Struct

from headway.errors import BrokerUnavailableError
from headway.testing.wrapper import CarrierWrapper, Verb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headway.brokers.base import Carrier

    T = TypeVar("T")

When = Literal["before", "after"]
_WHENS: Final[tuple[When, ...]] = ("before", "after")
_VERBS: Final = frozenset[str](get_args(Verb))
# What a network cuts while an app works; opening is left out, so that a plan does not end a test before it begins.
_USUAL: Final[tuple[Verb, ...]] = ("enqueue", "cancel", "claim", "heartbeat", "settle", "report", "surrender")


class RandomFaults(Struct, frozen=True):
    """A plan: each call of one of `verbs` fails with the probability `rate`, before or after the write.

    The same seed and the same calls in the same order give the same faults.
    """

    seed: int
    rate: float = 0.1
    when: tuple[When, ...] = _WHENS
    verbs: tuple[Verb, ...] = _USUAL


class _Fault(Struct, frozen=True):
    when: When
    error: BaseException | None


class FaultyBroker(CarrierWrapper):
    """Wraps a carrier. A call that fails `before` leaves no trace; one that fails `after` was applied all the same.

    Both raise BrokerUnavailableError: the caller cannot tell which it was, as with a cut connection. `calls` and
    `faults` count by verb.
    """

    def __init__(self, inner: Carrier, plan: RandomFaults | None = None) -> None:
        """`plan` fails calls at random; without one only what `fail_next` asks for fails."""
        super().__init__(inner)
        self.calls: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._plan = plan
        self._rng = random.Random(plan.seed if plan else 0)  # noqa: S311 - repeatable, not secret
        self._asked: dict[str, deque[_Fault]] = {}
        self._delays: dict[str, float] = {}

    def fail_next(
        self, verb: Verb, *, when: When = "before", times: int = 1, error: BaseException | None = None
    ) -> None:
        """Fail the next `times` calls of the verb, behind those asked for already.

        `error` replaces BrokerUnavailableError; a BrokerRefusedError goes with `before`: nothing was written. Any other
        exception is a defect of a carrier, or of an entry in it.
        ValueError when there is no such verb.
        """
        self._asked.setdefault(_known(verb), deque()).extend([_Fault(when, error)] * times)

    def delay(self, verb: Verb, seconds: float) -> None:
        """Make every call of the verb wait first, in real time; 0 ends it. ValueError when there is no such verb."""
        self._delays[_known(verb)] = seconds

    @property
    def pending(self) -> Sequence[str]:
        """The verbs that still have a failure to come: a test may assert that there is none left."""
        return sorted(verb for verb, faults in self._asked.items() if faults)

    async def around(self, verb: Verb, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call, or fail."""
        self.calls[verb] += 1
        fault = self._fault(verb)
        if seconds := self._delays.get(verb):
            await asyncio.sleep(seconds)
        if fault is None:
            return await call()
        self.faults[verb] += 1
        if fault.when == "after":
            await call()
        raise fault.error or BrokerUnavailableError(
            f"injected fault: {verb} failed {fault.when} the write (FaultyBroker)"
        )

    def _fault(self, verb: Verb) -> _Fault | None:
        asked = self._asked.get(verb)
        if asked:
            return asked.popleft()
        plan = self._plan
        if plan is not None and verb in plan.verbs and self._rng.random() < plan.rate:
            return _Fault(self._rng.choice(plan.when), None)
        return None


def _known(verb: str) -> str:
    if verb not in _VERBS:
        msg = f"FaultyBroker: a carrier has no call {verb!r}; known are {', '.join(sorted(_VERBS))}"
        raise ValueError(msg)
    return verb
