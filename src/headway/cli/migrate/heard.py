"""The commands that change or count something tell the app's server how they get on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.cli.streams import say

if TYPE_CHECKING:
    from headway.cli.migrate.given import Given, Work
    from headway.migrate.status import Command
    from headway.migrate.telling import Telling


def telling(work: Work, given: Given, command: Command) -> Telling:
    """Return what is entered while a command runs; says so when no carrier of the app keeps it."""
    from headway.cli.routes.known import me
    from headway.migrate.telling import Telling, about

    made = Telling(work.app, about(work.source, given.url, work.words), command, me(), work.queues)
    if not made.is_heard:
        carriers = ", ".join(work.app.carriers)
        say(f"headway: how this gets on is shown here alone: none of the carriers {carriers} keeps it")
    return made
