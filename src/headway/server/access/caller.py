"""Who calls, and what they may do; pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Role(StrEnum):
    """What a caller may do; each may do what those before it may."""

    READ = "read"  # look at everything
    OPERATE = "operate"  # and enqueue, cancel, retry, remove jobs; pause, drain queues; run schedules
    ADMIN = "admin"  # and change routes, roll-outs, keys; read the audit log

    def includes(self, other: Role) -> bool:
        """Tell whether whoever has this role may do what `other` may."""
        return _RANKS[self] >= _RANKS[other]


_RANKS: Final = {Role.READ: 0, Role.OPERATE: 1, Role.ADMIN: 2}


class Scope(Struct, frozen=True):
    """Which queues and tasks a caller sees and acts on; none named is all of them."""

    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """True when nothing is kept from the caller."""
        return not self.queues and not self.tasks

    def has_queue(self, queue: str) -> bool:
        """Tell whether the queue is within the scope."""
        return not self.queues or queue in self.queues

    def has_job(self, queue: str, task: str) -> bool:
        """Tell whether a job of this queue and task is within the scope."""
        return self.has_queue(queue) and (not self.tasks or task in self.tasks)


EVERYTHING: Final = Scope()


class Caller(Struct, frozen=True):
    """Whoever makes a call. `who` stands in the audit log, such as `key ci (8fk2m1q0)`."""

    who: str
    role: Role
    scope: Scope = EVERYTHING
    key_id: str = ""  # empty: not by an API key
    address: str = ""
    rate: int = 0  # requests a minute; 0: the server's own limit
