"""The Lua scripts of sources: each begins with the ledger, so that a job leaves its queue in the step that notes it."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import Final

from headway.storage.redis.server import Script

_LEDGER: Final = "-- @include ledger\n"
_COMMENT: Final = re.compile(r"^\s*--.*\n|^\s*\n", re.MULTILINE)


@cache
def load_script(package: str, name: str) -> Script:
    """Load `lua/<name>.lua` of a package; the line `-- @include ledger` becomes the functions of the ledger."""
    text = _read(package, name)
    if _LEDGER in text:
        text = text.replace(_LEDGER, _read("headway.migrate", "ledger"), 1)
    source = _COMMENT.sub("", text)
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _read(package: str, name: str) -> str:
    return (resources.files(package) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
