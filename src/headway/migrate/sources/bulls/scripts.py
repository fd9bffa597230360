"""The Lua scripts of BullMQ and Bull: own files, with what they include."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import Final

from headway.storage.redis.server import Script

SHARED: Final = "headway.migrate.sources.bulls"
_LEDGER: Final = "headway.migrate"
_INCLUDE: Final = re.compile(r"^-- @include (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^\s*--.*\n|^\s*\n", re.MULTILINE)


@cache
def load_script(package: str, name: str) -> Script:
    """Load `lua/<name>.lua` of a package; `-- @include` names files of this one, or the ledger."""

    def include(match: re.Match[str]) -> str:
        return _read(_LEDGER if match[1] == "ledger" else SHARED, match[1])

    source = _COMMENT.sub("", _INCLUDE.sub(include, _read(package, name)))
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _read(package: str, name: str) -> str:
    return (resources.files(package) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
