"""A Redis that runs commands and Lua scripts, however it is reached.

All that goes over the line is UTF-8 text: answers by HTTP are JSON, and each way reads what the other wrote.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from headway.errors import BrokerUnavailableError
from headway.storage.patience import until_answered
from headway.storage.redis.replies import UnknownScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.storage.patience import Answer

Word: TypeAlias = "str | int"

_INCLUDE: Final = re.compile(r"^-- @include (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n|^\s*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """An operation that the server runs in one piece; `sha` is the name under which it keeps it."""

    name: str
    source: str
    sha: str


@cache
def load_script(package: str, name: str) -> Script:
    """Load `lua/<name>.lua` of a package, with what it includes and without its comments."""
    folder = resources.files(package) / "lua"

    def include(match: re.Match[str]) -> str:
        return (folder / f"{match.group(1)}.lua").read_text(encoding="utf-8")

    text = _INCLUDE.sub(include, (folder / f"{name}.lua").read_text(encoding="utf-8"))
    source = _COMMENT.sub("", text)
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


class RedisServer(ABC):
    """Runs commands, each in one round trip. Raises BrokerUnavailableError, or BrokerRefusedError.

    Scripts that the server does not know yet take one command more, once.
    """

    def __init__(self, name: str) -> None:
        """`name` is the URL without secrets, for messages."""
        self.name = name
        self._commands = 0

    @property
    def commands(self) -> int:
        """How many commands were sent, repeated ones included."""
        return self._commands

    @abstractmethod
    async def open(self) -> None:
        """Connect. Opening an open one does nothing."""

    @abstractmethod
    async def close(self) -> None:
        """Release every connection. Closing a closed one does nothing."""

    async def run(self, script: Script, keys: Sequence[str], words: Sequence[Word]) -> Answer[Any]:
        """Run a script."""
        return await until_answered(self.name, lambda: self._evaluate(script, (len(keys), *keys, *words)))

    async def command(self, *words: Word) -> Answer[Any]:
        """Run a command."""
        return await until_answered(self.name, lambda: self._send(*words))

    async def _evaluate(self, script: Script, rest: Sequence[Word]) -> Any:  # noqa: ANN401 - whatever it answers
        try:
            return await self._send("EVALSHA", script.sha, *rest)
        except UnknownScriptError:
            return await self._send("EVAL", script.source, *rest)

    async def _send(self, *words: Word) -> Any:  # noqa: ANN401 - whatever it answers
        if not self._is_open:
            msg = f"{self.name} is not open: open it before you use it"
            raise BrokerUnavailableError(msg)
        self._commands += 1
        return await self._execute(words)

    @property
    @abstractmethod
    def _is_open(self) -> bool:
        """Whether it was opened and not closed."""

    @abstractmethod
    async def _execute(self, words: Sequence[Word]) -> Any:  # noqa: ANN401 - whatever it answers
        """Try once; raise Unanswered when nothing is known of what became of it."""
