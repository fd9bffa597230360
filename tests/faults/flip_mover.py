"""A program that flips routes until it is killed: `python -m tests.faults.flip_mover SEED QUEUE...`.

All to one carrier, all to the other, sometimes half and half, as fast as changes may follow on each other. Behind some of the flips it
takes the jobs over that still wait on the carrier that was left, as an operator does.
"""

from __future__ import annotations

import asyncio
import sys
from random import Random
from typing import TYPE_CHECKING, Final

from headway.errors import HeadwayError
from headway.routing.changing import change_routes, control_of
from headway.routing.declared import Declared
from headway.routing.following import SETTLING
from headway.routing.moving import move_waiting
from tests.faults.flip_app import app, note

if TYPE_CHECKING:
    from headway.routing.table import RouteTable

_HALVES: Final = 0.25


async def flip(seed: int, queues: list[str]) -> None:
    """Flip for ever."""
    rng = Random(seed)
    async with app:
        names = tuple(app.carriers)
        declared, control, at = Declared(names), control_of(app.carriers), seed
        while True:
            at += 1
            goal, left = names[at % 2], names[1 - at % 2]
            weights = {goal: 100, left: 0} if rng.random() > _HALVES else {goal: 50, left: 50}

            def edit(table: RouteTable, now_ms: int, weights: dict[str, int] = weights) -> RouteTable:
                routes = {queue: declared.route(table, queue).changed(weights) for queue in queues}
                return table.changed(routes, who="mover", when_ms=now_ms, why="", unrouted=declared.unrouted)

            try:
                await change_routes(control, edit, app.clock)
                note([{"what": "flip", "to": goal, "percent": weights[goal]}])
                if weights[goal] == 100 and rng.random() > 0.5:
                    await asyncio.sleep(SETTLING)  # as the command does
                    for queue in queues:
                        done = await move_waiting(app.carriers, queue, left, goal)
                        note(
                            [
                                {
                                    "what": "moved",
                                    "queue": queue,
                                    "count": done.moved,
                                    "refused": len(done.refused),
                                }
                            ]
                        )
            except HeadwayError as error:
                note([{"what": "mover failed", "why": str(error)}])
                await asyncio.sleep(0.5)


if __name__ == "__main__":
    asyncio.run(flip(int(sys.argv[1]), sys.argv[2:]))
