"""One call to the server: how it is written the first time, and how it is repeated when its answer was lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from headway.brokers.redis.wire.greeting import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.redis.scripts import Script

Argument = bytes | str | int


class Call:
    """A plain command, safe to repeat as it stands."""

    __slots__ = ("deadline", "future", "parts", "read", "repeated", "sent_at")

    def __init__(self, parts: tuple[Argument, ...], deadline: float) -> None:
        """`deadline` is an instant of the loop's clock."""
        self.parts = parts
        self.deadline = deadline
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # Makes the future's result of the reply; another call that it returns is made instead, with the same future.
        self.read: Callable[[Any], Any] | None = None
        self.repeated = False
        self.sent_at = 0.0

    def packed(self) -> bytes:
        """Write it for the wire."""
        return pack(*self.parts)

    def use_source(self) -> bool:
        """Send the script's source next time; false when that was done, or when there is none."""
        return False


def pack_script(script: Script, *arguments: Argument) -> bytes:
    """Write a call of a script that the server knows; the first of `arguments` is the key prefix."""
    return pack("EVALSHA", script.sha, 1, *arguments)


class ScriptCall(Call):
    """A script. `parts` begin with the prefix and the instant; the flags stand between them and the rest."""

    __slots__ = ("expected_ms", "flags", "script", "whole")

    def __init__(
        self,
        script: Script,
        head: tuple[Argument, Argument],
        flags: str,
        parts: tuple[Argument, ...],
        deadline: float,
    ) -> None:
        """`head` is the key prefix and the instant, "" for the server's clock."""
        super().__init__((*head, *parts), deadline)
        self.script = script
        self.flags = flags
        self.expected_ms: Callable[[], int] | None = None  # what the server's clock should show; 0: not known
        self.whole = False

    def packed(self) -> bytes:
        """Write it; a repeat says so, for the scripts whose second answer must be that of the first."""
        flags = self.flags + "r" if self.repeated else self.flags
        if self.expected_ms is not None and (expected := self.expected_ms()):
            flags = f"{flags}@{expected}"
        if not self.whole:
            return pack_script(self.script, self.parts[0], self.parts[1], flags, *self.parts[2:])
        return pack("EVAL", self.script.source, 1, self.parts[0], self.parts[1], flags, *self.parts[2:])

    def use_source(self) -> bool:
        """Have the server learn the script with the call itself."""
        if self.whole:
            return False
        self.whole = True
        return True
