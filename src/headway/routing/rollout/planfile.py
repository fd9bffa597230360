"""Plan files: several queues, one after the other in the order of risk, the least risky first."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any, Final, cast

from headway.errors import ConfigError
from headway.routing.rollout.plan import Plan, parse_plan

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_QUEUES: Final = 1000


def parse_plans(text: str, name: str) -> tuple[Plan, ...]:
    """Read a plan file of this name: settings for all at the top, then a `[[queue]]` table for each, with its `name`.

    ```
    to = "push"
    every = "10m"
    max_error_rate = "1%"
    [[queue]]
    name = "thumbnails"
    [[queue]]
    name = "email"
    steps = [1, 10, 100]
    stand = "1d"
    ```
    ConfigError names the file and the queue.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{name}: {error}"
        raise ConfigError(msg) from error
    tables: object = document.pop("queue", [])
    if not isinstance(tables, list) or not all(
        isinstance(table, dict) for table in cast("list[object]", tables)
    ):
        msg = f"{name}: queues are tables, each below a line [[queue]]"
        raise ConfigError(msg)
    if not 1 <= len(cast("list[object]", tables)) <= MAX_QUEUES:
        msg = f"{name}: has {len(cast('list[object]', tables))} tables [[queue]]; it must have 1 to {MAX_QUEUES}"
        raise ConfigError(msg)
    plans: list[Plan] = []
    for table in cast("list[dict[str, Any]]", tables):
        plans.append(_plan(table, document, name, {plan.queue for plan in plans}))
    return tuple(plans)


def _plan(table: Mapping[str, object], defaults: Mapping[str, object], name: str, taken: set[str]) -> Plan:
    own = dict(table)
    queue = own.pop("name", None)
    if not isinstance(queue, str):
        msg = f'{name}: a [[queue]] has no name: write name = "..." below it'
        raise ConfigError(msg)
    if queue in taken:
        msg = f"{name}: queue {queue} is there twice; one roll-out moves it once"
        raise ConfigError(msg)
    return parse_plan(queue, {**defaults, **own}, f"{name}: queue {queue}")
