"""What follows a failed attempt: another one after a back-off, or giving up.

Pure: chance comes in as an argument. Only ordinary exceptions are judged here. `RetryLater` and `Discard`, by
which a handler speaks for itself, and the cancellations of a timeout or a shutdown are the executor's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self, cast

from headway.clock import Duration, duration_ms, text_seconds
from headway.raised import class_name

if TYPE_CHECKING:
    from random import Random

__all__ = ["Decision", "GiveUp", "Retry", "RetryAfter"]

_LONGEST: Final = timedelta(days=365).total_seconds()  # what waits longer is a schedule


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Run the job again once `delay` has passed."""

    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Put the job in the dead-letter state. `reason` holds the exception's type and never its message."""

    reason: str


Decision = RetryAfter | GiveUp


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, after how long and after which exceptions a job runs again.

    The wait after attempt n is `initial * factor ** (n - 1)` seconds, at most `maximum`, of which the share
    `jitter` is left to chance: 0 is none, 0.5 between half and all of the wait ("equal"), 1 anything up to it
    ("full").

    The defaults wait about 2 s, 8 s, 32 s, 2 min, 9 min and four times 10 min, in all 25 to 51 minutes:

    - 2 s at first, because most failures are over by then (a deadlock, a connection reset); Celery's 3
      minutes make every one of them visible to users.
    - A factor of 4, because what is not over after seconds is a restart (minutes) or a deployment (ten
      minutes and more): doubling spends half of the attempts within the first half minute.
    - At most 10 minutes, as in Celery and potatoq: a service that has come back is noticed soon.
    - 10 attempts. BullMQ's single one turns every blip into a dead letter, and Celery's 3 retries are over in
      9 minutes; Oban's 12 days (20 attempts) and Sidekiq's 21 (25 retries) let a bug wait unseen for weeks.
      potatoq's 50 minutes are about ours: after an hour a person should look.
    - Equal jitter: it parts jobs that failed together, and, unlike full jitter, never retries at once.

    `delays`, seconds, timedeltas or texts, replaces the curve; it is followed exactly, without jitter, and its last
    entry repeats. `Retry.after(1, 60)` sets the attempts to match.

    An exception is judged by the first of these that speaks: `rules`, by the entry nearest to its class;
    `give_up_on`; `retry_on`. What none names is given up. A rule replaces the whole policy for its
    exceptions, with attempts still counted over the job; it cannot itself name exceptions. An
    `ExceptionGroup` is judged by its own class, not by the exceptions in it.

    Durations are given as seconds, timedeltas or texts such as `15s`, and kept as seconds. Raises ValueError naming the
    field.
    """

    max_attempts: int = 10
    """Attempts in all, the first included."""
    initial: Duration = 2.0
    factor: float = 4.0
    maximum: Duration = 600.0
    jitter: float = 0.5
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    give_up_on: tuple[type[BaseException], ...] = ()
    delays: Sequence[Duration] | None = None
    rules: Mapping[type[BaseException], Retry] = field(
        default_factory=dict["type[BaseException]", "Retry"], hash=False
    )

    def __post_init__(self) -> None:
        """Check every field now, and copy what the caller could change later."""
        maximum = _seconds("maximum", self.maximum)
        initial = _seconds("initial", self.initial)
        if initial > maximum:
            raise _wrong(self.initial, "initial", f"no longer than maximum ({maximum:g} s)")
        object.__setattr__(self, "maximum", maximum)
        object.__setattr__(self, "initial", initial)
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise _wrong(self.max_attempts, "max_attempts", "a whole number, 1 or more")
        if not _is_number(self.factor) or not 1 <= self.factor < math.inf:
            raise _wrong(self.factor, "factor", "a finite number, 1 or more")
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise _wrong(self.jitter, "jitter", "a share from 0 to 1")
        _check_exceptions("retry_on", self.retry_on)
        _check_exceptions("give_up_on", self.give_up_on)
        if self.delays is not None:
            if isinstance(self.delays, str | bytes) or not _is_sequence(self.delays) or not self.delays:
                raise _wrong(self.delays, "delays", "None, or a list of one delay at least")
            delays = tuple(_seconds(f"delays[{i}]", delay) for i, delay in enumerate(self.delays))
            object.__setattr__(self, "delays", delays)
        object.__setattr__(self, "rules", _checked_rules(self.rules))

    @classmethod
    def never(cls) -> Self:
        """Give one attempt, and no other whatever happens."""
        return cls(max_attempts=1)

    @classmethod
    def after(cls, *delays: Duration) -> Self:
        """Retry once after each of `delays`, and then give up."""
        return cls(max_attempts=len(delays) + 1, delays=delays)

    def delay(self, attempt: int, rng: Random) -> timedelta:
        """Return the wait after `attempt` (1 is the first) has failed; ValueError when it is below 1."""
        if attempt < 1:
            raise _wrong(attempt, "attempt", "1 or more")
        if self.delays is not None:
            return timedelta(seconds=_as_seconds(self.delays[min(attempt, len(self.delays)) - 1]))
        whole = self._curve(attempt)
        return timedelta(seconds=whole - whole * self.jitter * rng.random())

    def decide(self, exception: BaseException, attempt: int, rng: Random) -> Decision:
        """Judge `exception`, raised by `attempt` (1 is the first); ValueError when the attempt is below 1."""
        # By its class alone: an exception may answer anything when it is asked for its `__class__`.
        kind = type(exception)
        name = class_name(kind)
        policy = self._rule_for(kind)
        if policy is None:
            if issubclass(kind, self.give_up_on):
                return GiveUp(f"{name} is in give_up_on")
            if not issubclass(kind, self.retry_on):
                return GiveUp(f"{name} is not in retry_on")
            policy = self
        if attempt >= policy.max_attempts:
            return GiveUp(f"attempt {attempt} of {policy.max_attempts} failed with {name}")
        return RetryAfter(policy.delay(attempt, rng))

    def _curve(self, attempt: int) -> float:
        initial, maximum = _as_seconds(self.initial), _as_seconds(self.maximum)
        if not initial:
            return 0.0
        try:
            return min(initial * self.factor ** (attempt - 1), maximum)
        except OverflowError:  # the power alone passes what a float holds, so it passes the maximum
            return maximum

    def names(self, kind: type[BaseException]) -> bool:
        """Tell whether a rule, `give_up_on` or `retry_on` speaks of this class of exceptions."""
        return self._rule_for(kind) is not None or issubclass(kind, (*self.give_up_on, *self.retry_on))

    def _rule_for(self, kind: type[BaseException]) -> Retry | None:
        if not self.rules:
            return None
        return next((self.rules[base] for base in kind.__mro__ if base in self.rules), None)


def _checked_rules(rules: Mapping[type[BaseException], Retry]) -> dict[type[BaseException], Retry]:
    if not _is_mapping(rules):
        raise _wrong(rules, "rules", "a dict from exception classes to policies")
    _check_exceptions("rules", tuple(rules))
    for kind, policy in rules.items():
        if not _is_policy(policy):
            raise _wrong(policy, f"rules[{kind.__qualname__}]", "a Retry")
        if policy.rules or policy.give_up_on or policy.retry_on != (Exception,):
            raise _wrong(
                policy, f"rules[{kind.__qualname__}]", "a policy without retry_on, give_up_on or rules"
            )
    return dict(rules)


def _check_exceptions(name: str, kinds: object) -> None:
    # A lone class or a string is the common slip; isinstance() would only complain when a job fails.
    if not isinstance(kinds, tuple):
        raise _wrong(kinds, name, "a tuple of exception classes")
    items = cast("tuple[object, ...]", kinds)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in items):
        raise _wrong(items, name, "a tuple of exception classes")


def _seconds(name: str, value: object) -> float:
    given = cast("Duration", value)
    try:
        duration_ms(given)
        seconds = text_seconds(given, name) if isinstance(given, str) else _number_of_seconds(given)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST:
        raise _wrong(
            value, name, "a duration from 0 to 365 days: a timedelta, seconds, or a text such as 15s, 2m, 24h"
        )
    return seconds


def _number_of_seconds(value: timedelta | float) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _as_seconds(value: Duration) -> float:
    """Return what `_seconds` has made of it."""
    return cast("float", value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_policy(value: object) -> bool:
    return isinstance(value, Retry)


def _is_sequence(value: object) -> bool:
    return isinstance(value, Sequence)


def _wrong(value: object, name: str, expected: str) -> ValueError:
    return ValueError(f"Retry: {name} must be {expected}; got {value!r}")
