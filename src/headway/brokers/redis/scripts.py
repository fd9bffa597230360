"""The Lua scripts: read from the package once, joined with what they include."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

_INCLUDE: Final = re.compile(r"^-- @include (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n|^\s*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """An operation that the server runs in one piece; `sha` is the name under which it keeps it."""

    name: str
    source: bytes
    sha: bytes


@cache
def script(name: str) -> Script:
    """Load `lua/<name>.lua`."""
    folder = resources.files("headway.brokers.redis") / "lua"

    def include(match: re.Match[str]) -> str:
        return (folder / "include" / f"{match.group(1)}.lua").read_text(encoding="utf-8")

    text = _INCLUDE.sub(include, (folder / f"{name}.lua").read_text(encoding="utf-8"))
    source = _COMMENT.sub("", text).encode()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())
