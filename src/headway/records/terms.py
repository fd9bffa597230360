"""The words by which jobs are found: one number each, so that one narrow index serves all kinds of search."""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MAX_VALUES: Final = 16
"""Values of one path of an argument that are found; those of a longer list are not."""
MAX_VALUE: Final = 500
"""Characters of a value by which a job is found; a longer one is not."""
MAX_HEADERS: Final = 32
MAX_WORDS: Final = 40
"""Words of an error by which its job is found."""
_WORD: Final = re.compile(r"\w{2,60}")


def term(kind: str, name: str, value: str) -> int:
    """Return the number of a word: 63 bits of a hash, so that two words are as good as never the same."""
    text = f"{kind}\0{name}\0{value}".encode(errors="replace")
    return int.from_bytes(blake2b(text, digest_size=8).digest()) >> 1


@lru_cache(maxsize=1024)  # most jobs have those of their task
def tag_term(tag: str) -> int:
    """Return the term of a tag."""
    return term("tag", "", tag)


def header_term(name: str, value: str) -> int:
    """Return the term of a header."""
    return term("header", name.lower(), value)


def key_term(key: str) -> int:
    """Return the term of an idempotency key."""
    return term("key", "", key)


def argument_term(path: str, value: object) -> int:
    """Return the term of an argument: 5 and "5" are the same, as they are in a URL."""
    return term("argument", plain_path(path), value_text(value))


def error_terms(text: str) -> list[int]:
    """Return the terms of the words of an error, without regard to case."""
    return [term("error", "", word) for word in error_words(text)]


def error_words(text: str) -> list[str]:
    """Return the words of an error, each once, in their order."""
    words = dict.fromkeys(match[0].lower() for match in _WORD.finditer(text[:4000]))
    return list(words)[:MAX_WORDS]


def plain_path(path: str) -> str:
    """Return `$.order.id` as `order.id`."""
    return path.removeprefix("$.")


def value_text(value: object) -> str:
    """Return a value of JSON as text: a text as it is, `true`, `null`, numbers as JSON writes them."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def terms_of(
    arguments: Mapping[str, Any] | None,
    paths: Sequence[str],
    headers: Mapping[str, str],
    tags: Sequence[str],
    key: str | None,
) -> set[int]:
    """Return the terms of a job: of the arguments only those that its task allows."""
    found = {tag_term(tag) for tag in tags}
    for name, value in list(headers.items())[:MAX_HEADERS]:
        if len(value) <= MAX_VALUE:
            found.add(header_term(name, value))
    if key is not None:
        found.add(key_term(key))
    for path in paths if arguments is not None else ():
        name = plain_path(path)
        for plain in islice(_values(arguments, name.split(".")), MAX_VALUES):
            text = value_text(plain)
            if len(text) <= MAX_VALUE:
                found.add(term("argument", name, text))
    return found


def _values(value: Any, path: Sequence[str]) -> Iterator[object]:  # noqa: ANN401 - any value of JSON
    """Yield the plain values at a path; the elements of a list stand at the path of the list."""
    if isinstance(value, list | tuple):
        for one in cast("Sequence[Any]", value):
            yield from _values(one, path)
    elif not path:
        if value is None or isinstance(value, str | bool | int | float):
            yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(cast("dict[str, Any]", value)[path[0]], path[1:])
