"""What happens at each look at a roll-out.

Pure: the same roll-out, look and instant always give the same decision, so that a controller which is killed between
deciding and writing decides the same again.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from headway.routing.rollout.changes import back, changed, decided, decision, forward
from headway.routing.rollout.judgement import Judgement, Verdict, figures_in_words
from headway.routing.rollout.judging import Block, judge
from headway.routing.rollout.rollout import Act, Decision, Reason, Rollout, Status
from headway.routing.rollout.sides import Sides
from headway.routing.routes import Route

LONGEST_GAP_MS: Final = 60_000
"""Most time that counts from one look to the next: a clock that leaps forward cannot end a step."""
SKEW_MS: Final = 600_000
"""By how much clocks of hosts may differ; an instant that is earlier still is a clock that was set right."""


class Measured(Struct, frozen=True):
    """The figures at a look.

    `sides` are totals from any fixed instant at or before the roll-out's start. `backlog` and `oldest_ms` (how long the
    oldest due job has waited) are of the new side now, None where its carrier cannot tell.
    """

    sides: Sides
    backlog: int | None = None
    oldest_ms: int | None = None


class Look(Struct, frozen=True):
    """What is seen at a look: the route in force, and the figures, None when they could not be read."""

    route: Route
    measured: Measured | None


def decide(rollout: Rollout, look: Look, now_ms: int) -> tuple[Rollout, Decision]:
    """Decide what is to be done now; where the decision has a route, it is to be set.

    Until that route is seen in force, the same is decided again. `now_ms` is best the control store's clock; those of
    several hosts may differ by ten minutes.
    """
    if rollout.unconfirmed:
        if look.route == rollout.route:
            rollout = changed(rollout, unconfirmed=False)
        elif (look.route.runs, look.route.by) == (rollout.was, rollout.was_by):
            return rollout, _again(rollout, now_ms)
    if rollout.status.over:
        return rollout, decision(rollout, Act.HOLD, Reason.OVER, now_ms, str(rollout.status))
    if rollout.by_hand or look.route != rollout.route:
        return _changed_by_hand(rollout, look.route, now_ms)
    spent, looked = _time(rollout, now_ms)
    rollout = changed(rollout, looked_ms=looked)
    if look.measured is None:
        return _unreadable(rollout, now_ms)
    rollout = changed(rollout, unreadable=0)
    if rollout.base is None:
        return _warming(rollout, look.measured.sides, spent, now_ms)
    return _judged(changed(rollout, spent_ms=rollout.spent_ms + spent), look.measured, now_ms)


def notable(earlier: Decision, made: Decision) -> bool:
    """Tell whether a decision is news: worth a line in the history, in logs, to people who watch."""
    return made.number != earlier.number and (
        made.act is not Act.HOLD or (made.reason is not earlier.reason and made.reason is not Reason.UNREAD)
    )


def _again(rollout: Rollout, now_ms: int) -> Decision:
    """Return the decision whose route is not in force yet; another one, when people have paused it meanwhile."""
    if rollout.decision.route == rollout.runs:
        return rollout.decision
    return decision(
        rollout, Act.RESTORE, Reason.UNCONFIRMED, now_ms, f"{rollout.percent} %", route=rollout.route
    )


def _judged(rollout: Rollout, measured: Measured, now_ms: int) -> tuple[Rollout, Decision]:
    plan, base, last = rollout.plan, rollout.base or Sides(), rollout.last or Sides()
    block = Block(
        measured.sides.since(last),
        last,
        measured.sides.since(base),
        len(plan.steps) - rollout.step,
        measured.backlog,
        measured.oldest_ms,
    )
    watches, judgements = judge(plan, rollout.watches, block)
    rollout = changed(rollout, watches=watches, last=measured.sides)
    broken = tuple(each for each in judgements if each.verdict is Verdict.FAIL)
    if broken:
        text = "; ".join(figures_in_words(broken))
        return back(rollout, Status.ROLLED_BACK, rollout.route, text, now_ms, judgements=judgements)
    reason, text, unclear = _waits(rollout, judgements, block.step.new.ended)
    if reason is None:
        return forward(rollout, Reason.PASSED, now_ms, judgements=judgements)
    made = decision(rollout, Act.HOLD, reason, now_ms, text, judgements=judgements)
    if unclear is not None:
        made = msgspec.structs.replace(made, needed=unclear.needed, needed_ms=_needed_ms(rollout, unclear))
    return decided(rollout, made)


def _waits(
    rollout: Rollout, judgements: tuple[Judgement, ...], ended: int
) -> tuple[Reason | None, str, Judgement | None]:
    """Return why it does not advance, in words, and the judgement that is furthest from clear; None: it advances."""
    if rollout.status is Status.PAUSED:
        return Reason.PAUSED, "until it is resumed", None
    wanted = rollout.plan.every_ms + (rollout.plan.stand_ms if rollout.last_step else 0)
    if rollout.spent_ms < wanted:
        return Reason.STEP_TIME, f"{_duration(wanted - rollout.spent_ms)} more", None
    unclear = [each for each in judgements if each.verdict is Verdict.INCONCLUSIVE]
    if not unclear:
        least = rollout.plan.min_jobs
        if ended < least:  # without limits, and with nothing to compare with: no data is no pass
            return Reason.INCONCLUSIVE, f"{ended} of at least {least} jobs have ended in this step", None
        return None, "", None
    furthest = max(unclear, key=lambda each: each.needed)
    text = next(figures_in_words((furthest,)))
    if furthest.needed:
        needed_ms = _needed_ms(rollout, furthest)
        about = f", in about {_duration(needed_ms)}" if needed_ms else "; none has ended in this step"
        text = f"{text}; about {furthest.needed} more jobs are needed{about}"
    return Reason.INCONCLUSIVE, text, furthest


def _needed_ms(rollout: Rollout, unclear: Judgement) -> int:
    """Return about how long the jobs that are needed take at the rate of this step; 0 when it has none."""
    return round(unclear.needed * rollout.spent_ms / unclear.jobs) if unclear.jobs else 0


def _warming(rollout: Rollout, sides: Sides, spent: int, now_ms: int) -> tuple[Rollout, Decision]:
    """Let the delay pass; the figures at its end are where counting begins."""
    warm = rollout.warm_ms + spent
    left = rollout.plan.delay_ms - warm
    if left > 0:
        made = decision(rollout, Act.HOLD, Reason.WARMING, now_ms, f"{_duration(left)} more")
        return decided(rollout, made, warm_ms=warm)
    made = decision(rollout, Act.HOLD, Reason.WARMING, now_ms, "counting begins")
    return decided(rollout, made, warm_ms=warm, base=sides, last=sides)


def _unreadable(rollout: Rollout, now_ms: int) -> tuple[Rollout, Decision]:
    """Hold, and let the time of the step stand still: what cannot be read is no fault of the new side."""
    looks = rollout.unreadable + 1
    reason = Reason.UNREADABLE if looks >= rollout.plan.unreadable_looks else Reason.UNREAD
    made = decision(rollout, Act.HOLD, reason, now_ms, f"{looks} looks in a row")
    return decided(rollout, made, unreadable=looks)


def _changed_by_hand(rollout: Rollout, route: Route, now_ms: int) -> tuple[Rollout, Decision]:
    """Leave the route alone, whatever the figures say: somebody knows more, and theirs is no step of this plan."""
    found = ", ".join(f"{name} {percent} %" for name, percent in route.weights.items())
    if rollout.by_hand:
        text = f"until it is resumed or aborted; the route is {found}"
        return decided(rollout, decision(rollout, Act.HOLD, Reason.BY_HAND, now_ms, text))
    wanted = ", ".join(f"{name} {percent} %" for name, percent in rollout.route.weights.items())
    text = f"to {found}; this roll-out had set {wanted}: resume sets that again, abort goes back to before"
    made = decision(rollout, Act.PAUSE, Reason.BY_HAND, now_ms, text)
    return decided(rollout, made, status=Status.PAUSED, by_hand=True, unconfirmed=False)


def _time(rollout: Rollout, now_ms: int) -> tuple[int, int]:
    """Return how much time counts since the last look, and the instant of this one.

    A host whose clock is behind adds none and moves none, so that the time is that of the host furthest ahead.
    """
    since = now_ms - rollout.looked_ms
    if since < -SKEW_MS:
        return 0, now_ms
    return min(max(0, since), LONGEST_GAP_MS), max(now_ms, rollout.looked_ms)


def _duration(ms: int) -> str:
    """Return a duration for people, rounded up: `40 s`, `12 min`, `3 h`."""
    seconds = -(-ms // 1000)
    if seconds < 120:  # noqa: PLR2004 - up to two minutes in seconds
        return f"{seconds} s"
    minutes = -(-seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{-(-minutes // 60)} h"  # noqa: PLR2004 - so of hours
