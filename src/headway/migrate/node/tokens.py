"""TypeScript and JavaScript as tokens: enough to find calls and plain literals, whatever else a file holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)
    |(?P<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<name>[A-Za-z_$][\w$]*)
    |(?P<mark>=>|\?\.|\.\.\.|[{}()\[\]<>,:;.=+*/?!&|@%^~\-#])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0"}
_ESCAPE: Final = re.compile(r"\\(u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_LAST_CODE_POINT: Final = 0x10FFFF


class Token(NamedTuple):
    """`kind` is text, number, name, mark or other; `value` that of a text, else what stands there."""

    kind: str
    value: str
    line: int


def tokens(source: str) -> list[Token]:
    """Return the tokens of a source, without spaces and comments. A text with `${...}` is of kind other."""
    return list(_tokens(source))


def _tokens(source: str) -> Iterator[Token]:
    line = 1
    for match in _TOKEN.finditer(source):
        kind, written = str(match.lastgroup), match[0]
        if kind == "text":
            if written.startswith("`") and "${" in written:
                yield Token("other", written, line)
            else:
                yield Token("text", _ESCAPE.sub(_unescaped, written[1:-1]), line)
        elif kind != "space":
            yield Token(kind, written, line)
        line += written.count("\n")


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) > 1:
        number = int(code[1:].strip("{}"), 16)
        return chr(number) if number <= _LAST_CODE_POINT else ""
    return "" if code == "\n" else _ESCAPES.get(code, code)
