"""Which failures are of one kind: the type of the exception and the place in the code that raised it.

The message is no part of it: it holds ids and numbers. Nor is the number of the line: it changes with each edit above.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from headway.job import AttemptError

_FRAME: Final = re.compile(r'^ *\|? *File "([^"\n]{1,500})", line \d+, in ([^\n]{1,200})$', re.MULTILINE)
_LIBRARY: Final = re.compile(
    r"[/\\](?:site-packages|dist-packages|lib[/\\]python\d[^/\\]*)[/\\]|^<|[/\\]headway[/\\]"
)
_PARTS: Final = 3  # of a file's path, from its end: what stands before differs between hosts


class Fingerprint(Struct, frozen=True):
    """What an error's group is told by. `place` is `file:function`, of the application's code where there is some."""

    group: str
    type: str
    place: str


def fingerprint(error: AttemptError) -> Fingerprint:
    """Return the group of an error."""
    place = _place(error.traceback)
    text = f"{error.type}\0{place}".encode(errors="replace")
    return Fingerprint(blake2b(text, digest_size=8).hexdigest(), error.type, place)


def _place(traceback: str) -> str:
    frames: list[tuple[str, str]] = _FRAME.findall(traceback)
    own = [frame for frame in frames if not _LIBRARY.search(frame[0])]
    if not frames:
        return ""
    file, function = (own or frames)[-1]
    short = "/".join(file.replace("\\", "/").split("/")[-_PARTS:])
    return f"{short}:{function}"
