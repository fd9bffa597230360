"""The keys of a queue, and of its ledger beside it."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

LEDGER: Final = "headway-migrate"
_SPECIAL: Final = re.compile(r"([\[\]*?\\^])")


class Keys(Struct, frozen=True):
    """Names of keys. A prefix or a queue with a hash tag keeps them all in one slot of a Cluster, the ledger's too."""

    prefix: str
    queue: str

    @property
    def head(self) -> str:
        """What all keys of the queue begin with."""
        return f"{self.prefix}:{self.queue}:"

    @property
    def ledger(self) -> str:
        """The base of the ledger: not below the queue's own keys, where libraries clean up what they do not know."""
        return f"{LEDGER}:{self.prefix}:{self.queue}"

    def of(self, name: str) -> str:
        """Return the key of a list, a set or a job."""
        return f"{self.head}{name}"


def queue_pattern(prefix: str) -> tuple[str, re.Pattern[str]]:
    """Return what SCAN matches to find queues, and what reads the queue's name from a key.

    Each queue to which something was ever added has a counter.
    """
    return f"{_escaped(prefix)}:*:id", re.compile(rf"{re.escape(prefix)}:(.+):id", re.DOTALL)


def ledger_pattern(prefix: str) -> tuple[str, re.Pattern[str]]:
    """Return the same for ledgers."""
    return f"{LEDGER}:{_escaped(prefix)}:*:n", re.compile(rf"{LEDGER}:{re.escape(prefix)}:(.+):n", re.DOTALL)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)
