"""What becomes of a pushed job: pure functions over what the guard keeps of it."""

from __future__ import annotations

from msgspec import Struct

from headway.job import NewJob


class PushedJob(Struct, frozen=True):
    """A job as a task of the dispatcher carries it.

    `turn` counts the tasks that were made for it: 0 at enqueue, one more for each retry, by policy or by hand.
    """

    job: NewJob
    turn: int = 0
