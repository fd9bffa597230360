"""What somebody wants a queue's shadow to be, as a table of routes that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.errors import ConfigError
from headway.job import SHADOW_QUEUE
from headway.routing.shadow import Shadow
from headway.routing.written import parse_shadow

if TYPE_CHECKING:
    from headway.routing.declared import Declared
    from headway.routing.table import RouteTable

NONE: Final = "none"
"""What is written where nothing is to be copied."""


def with_shadow(
    known: Declared, table: RouteTable, queue: str, text: str | None, what: str, *, declared: bool
) -> RouteTable:
    """Return the table with this shadow of a queue, such as `push=5` or `none`; the same table when it is so already.

    None leaves it as it is; with `declared` it becomes that of the settings. ConfigError begins with `what`.
    """
    if text is None and not (declared and queue in table.shadows):
        return table
    shadow = None
    if text == NONE:
        shadow = Shadow(known.first, 0) if queue in known.shadows else None
    elif text is not None:
        if queue == SHADOW_QUEUE:
            msg = f"{what}: {queue} holds copies, which are not copied again"
            raise ConfigError(msg)
        shadow = parse_shadow(text, known.carriers, what)
        if shadow.percent and shadow.to in table.drained:
            msg = f"{what}: carrier {shadow.to} is drained, nothing new goes there"
            raise ConfigError(msg)
    return table if table.shadows.get(queue) == shadow else table.shadowed(queue, shadow)
