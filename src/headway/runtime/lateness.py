"""Which job keeps a worker process from ending jobs that are past their hard deadline.

An overdue job is not always the one to blame: a neighbour may block the loop, so that nobody could cancel it. So the
process is asked first, by a signal that Python handles even while its main thread sleeps or computes. Only a call into
C that keeps the GIL leaves the question open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.job import JobId

if TYPE_CHECKING:
    from headway.runtime.member import Member

_IDLE_LOOKS: Final = 2  # with a free loop: what it cancels now may be about to end
_SILENT_LOOKS: Final = 8  # without an answer: the machine may be busy


class Guilty(Struct, frozen=True):
    """For whom the process is ended. `known` is false when it could not say what it was doing."""

    jobs: list[JobId]
    known: bool


class Lateness:
    """What is known of the overdue jobs of one worker process, from one look to the next."""

    def __init__(self) -> None:
        self._overdue: set[JobId] = set()
        self._asked = 0  # answers that there were when the present question was put
        self._silent = 0
        self._idle = 0

    def look(self, member: Member) -> Guilty | None:
        """Look at the process again; None: there is nothing to end it for, or not yet."""
        overdue = member.overdue()
        late = [job for job in overdue if job in self._overdue]
        answers = member.slots.answers
        answered = answers > self._asked
        self._overdue, self._asked = set(overdue), answers
        if not overdue:
            self._silent = self._idle = 0
            return None
        member.ask()
        if not late:  # seen for the first time: nobody was asked about them
            return None
        if not answered:
            self._silent += 1
            return Guilty(late, known=False) if self._silent >= _SILENT_LOOKS else None
        self._silent = 0
        busy = member.slots.busy_with()
        if busy is None:
            # The loop is free, and they go on all the same: threads, or coroutines that take no notice.
            self._idle += 1
            return Guilty(late, known=True) if self._idle >= _IDLE_LOOKS else None
        self._idle = 0
        # One that blocks the loop within its own time limit may go on: the others wait for it.
        return Guilty([busy], known=True) if busy in overdue else None
