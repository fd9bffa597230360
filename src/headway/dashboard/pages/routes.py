"""Routes and roll-outs: which carrier takes what, moved under guard, and moved back."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from headway.clock import to_ms
from headway.dashboard.asking import Done
from headway.dashboard.charts import Chart, Mark, Series
from headway.dashboard.pages.overview import read
from headway.dashboard.spans import instants, laid, span_of
from headway.server.services.figures import By
from headway.server.services.problems import InvalidError, NotFoundError, ServiceError
from headway.server.services.rollouts import Begin, RolloutAct
from headway.server.services.routes import RouteWish

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.dashboard.asking import Asked
    from headway.server.services.figures import Figure
    from headway.server.services.rollouts import DecisionView, RolloutView
    from headway.server.services.routes import RoutesView

_TONES: Final = ("accent", "later", "wait", "warn")


async def routes(asked: Asked) -> str:
    """Return the page of all queues."""
    view, rollouts = await asyncio.gather(
        asked.services.routes.show(asked.caller), asked.services.rollouts.list(asked.caller)
    )
    return asked.render(
        "routes",
        "Routes",
        view=view,
        rollouts={one.queue: one for one in rollouts},
        history=await _history(asked),
        several=len(view.carriers) > 1,
    )


async def route(asked: Asked) -> str:
    """Return the page of one queue: its weights over time, and error and latency of both sides."""
    queue = asked.path["queue"]
    view = await asked.services.routes.show(asked.caller)
    found = next((one for one in view.routes if one.queue == queue), None)
    if found is None:
        msg = f"there is no queue {queue!r}"
        raise NotFoundError(msg)
    span = span_of(asked.one("span") or "1h")
    rollout, decisions = await _rollout(asked, queue)
    figures, history = await asyncio.gather(read(asked, span, By.CARRIER, queue), _history(asked))
    return asked.render(
        "route",
        f"Route of {queue}",
        route=found,
        carriers=view.carriers,
        rollout=rollout,
        decisions=decisions[::-1],
        charts=_charts(instants(span, asked.now_ms), view.carriers, figures, decisions),
        weights=_weights(history, queue, view.carriers, asked.now_ms),
    )


async def change(asked: Asked) -> Done:
    """Set the weights of one queue."""
    queue = asked.path["queue"]
    weights: dict[str, int] = {}
    for name in asked.services.app.carriers:
        text = asked.field(f"weight.{name}") or "0"
        if not text.isdecimal():
            msg = f"{name}: must be a whole percentage"
            raise InvalidError(msg)
        if int(text):
            weights[name] = int(text)
    await asked.services.routes.set(
        asked.caller,
        queue,
        RouteWish(weights=weights, shadow=asked.field("shadow") or None, reason=asked.field("reason")),
    )
    return Done(
        f"The route of {queue} is {', '.join(f'{name} {share} %' for name, share in weights.items())}."
    )


async def roll_back(asked: Asked) -> Done:
    """Take the routes of an earlier version."""
    version = asked.needed("version")
    if not version.isdecimal():
        msg = "version: must be a number"
        raise InvalidError(msg)
    await asked.services.routes.roll_back(asked.caller, int(version), asked.field("reason"))
    return Done(f"The routes are those of version {version} again, as a new version.")


async def begin(asked: Asked) -> Done:
    """Begin a roll-out."""
    queue = asked.path["queue"]
    steps = [one for one in re.split(r"[\s,]+", asked.field("steps")) if one]
    if not all(one.isdecimal() for one in steps):
        msg = "steps: must be whole percentages, such as 1, 5, 25, 50, 100"
        raise InvalidError(msg)
    names = ("every", "delay", "max_error_rate", "max_p95", "max_queue_latency")
    wish: dict[str, Any] = {name: asked.field(name) for name in names if asked.field(name)}
    if asked.field("min_jobs").isdecimal():
        wish["min_jobs"] = int(asked.field("min_jobs"))
    if steps:
        wish["steps"] = [int(one) for one in steps]
    begun = await asked.services.rollouts.begin(
        asked.caller, queue, Begin(to=asked.needed("to"), reason=asked.field("reason"), **wish)
    )
    return Done(f"The roll-out of {queue} to {begun.to} has begun.")


async def act(asked: Asked) -> Done:
    """Pause, resume, promote or abort a roll-out."""
    try:
        wanted = RolloutAct(asked.field("act"))
    except ValueError as error:
        msg = f"act: must be one of {', '.join(RolloutAct)}"
        raise InvalidError(msg) from error
    after = await asked.services.rollouts.act(
        asked.caller, asked.path["queue"], wanted, asked.field("reason")
    )
    return Done(f"The roll-out is {after.status} at {after.percent} %.")


async def _rollout(asked: Asked, queue: str) -> tuple[RolloutView | None, list[DecisionView]]:
    try:
        found, decisions = await asyncio.gather(
            asked.services.rollouts.get(asked.caller, queue),
            asked.services.rollouts.history(asked.caller, queue),
        )
    except NotFoundError:
        return None, []
    return found, decisions


async def _history(asked: Asked) -> list[RoutesView]:
    try:
        return await asked.services.routes.history(asked.caller, 100)
    except ServiceError:  # no carrier keeps routes, or the key is for some queues only
        return []


def _charts(
    at: tuple[int, ...], carriers: tuple[str, ...], figures: list[Figure], decisions: list[DecisionView]
) -> list[Chart]:
    by_carrier = {name: [one for one in figures if one.carrier == name] for name in carriers}
    marks = tuple(Mark(to_ms(one.at), f"{one.act}: {one.text}", "quiet") for one in decisions)
    tones = dict(zip(carriers, _TONES * len(carriers), strict=False))

    def series(value: Callable[[Figure], float | None], empty: float | None) -> tuple[Series, ...]:
        return tuple(
            Series(name, laid(at, some, value, empty), tones[name]) for name, some in by_carrier.items()
        )

    return [
        Chart("Started, by carrier", at, series(lambda one: one.started, 0.0), marks=marks),
        Chart(
            "Share of attempts that failed",
            at,
            series(lambda one: one.error_rate, None),
            unit="share",
            marks=marks,
        ),
        Chart(
            "Wait until start, p95", at, series(lambda one: one.latency_p95_ms, None), unit="ms", marks=marks
        ),
        Chart(
            "Time from start to end, p95",
            at,
            series(lambda one: one.duration_p95_ms, None),
            unit="ms",
            marks=marks,
        ),
    ]


def _weights(history: list[RoutesView], queue: str, carriers: tuple[str, ...], now_ms: int) -> Chart | None:
    """Return the weights of the last versions, as steps up to now."""
    changes = [
        (to_ms(one.changed_at), route.weights)
        for one in reversed(history)
        if one.changed_at is not None
        for route in one.routes
        if route.queue == queue
    ]
    if not changes:
        return None
    changes.append((now_ms, changes[-1][1]))
    count = 60
    first = changes[0][0]
    step = max(1, (now_ms - first) // count)
    at = tuple(first + n * step for n in range(count + 1))
    laid_out = [next(weights for since, weights in reversed(changes) if since <= one) for one in at]
    tones = dict(zip(carriers, _TONES * len(carriers), strict=False))
    return Chart(
        "Share of new jobs, by carrier",
        at,
        tuple(
            Series(name, tuple(one.get(name, 0) / 100 for one in laid_out), tones[name]) for name in carriers
        ),
        unit="share",
    )
