"""Texts that others see or keep: without secrets, bounded, and as every carrier can hold them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from msgspec import Struct

MAX_TEXT: Final = 2000  # characters of a message or a reason
MAX_LINE: Final = 10_000  # characters of a line of a job's log
_SECRET_OPTION: Final = re.compile(r"(?i)pass|pwd|secret|token|sig|key|auth|cred|code|session|sas")
_LONGEST: Final = (
    20  # characters of an option's value that is shown, whatever the option is called: words are shorter
)
_WORD: Final = re.compile(r"[A-Za-z_-]*")
_USER: Final = re.compile(r"[\w.-]{1,64}")
_NO_PLACES: Final = frozenset({"sqlite", "file"})  # schemes without user and host: an @ is one of the path
_SCHEME: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]*|")
_BROKEN: Final = re.compile(r"(?i)([a-z][a-z0-9+.-]+:)/?[^/]")  # a scheme, and too few slashes
_SIGNS: Final = ("?", "#", "&", ";")
_HIDDEN: Final = "***"


def redact(url: str) -> str:
    """Return the URL with its password, and options that look like secrets, replaced by `***`; any text is fine."""
    head, separator, rest = url.partition("://")
    if not (separator and _SCHEME.fullmatch(head)):
        broken = _BROKEN.match(url)
        return (
            f"{broken[1]}{_HIDDEN}" if broken else f"{_HIDDEN}{url[url.rfind('@') :]}" if "@" in url else url
        )
    # The last @ ends the credentials: a password may itself hold one, or a / ? # that should have been quoted.
    credentials, at, place = ("", "", rest) if head.lower() in _NO_PLACES else rest.rpartition("@")
    if at and ("?" in credentials or "#" in credentials):
        return f"{head}://{_HIDDEN}"  # of a password, or of an option: nobody can tell
    if at:
        user, colon, _ = credentials.partition(":")
        named = colon and (not user or _USER.fullmatch(user))
        place = f"{user}:{_HIDDEN}@{place}" if named else f"{_HIDDEN}@{place}"
    start = min((mark for sign in "?#" if (mark := place.find(sign)) >= 0), default=len(place))
    return f"{head}://{place[:start]}{_options(place[start:])}"


def _options(text: str) -> str:
    """Show options up to the first that looks like a secret: what seems to follow it may be its rest."""
    shown = ""
    for part in re.split(r"([?#&;])", text):
        name, equals, value = part.partition("=")
        if part not in _SIGNS and not _WORD.fullmatch(name):
            return shown + _HIDDEN
        if (equals and _SECRET_OPTION.search(name)) or (len(value) > _LONGEST and "/" not in value):
            return f"{shown}{name}={_HIDDEN}"
        shown += part
    return shown


def shown(struct: Struct, *, secrets: tuple[str, ...] = ()) -> str:
    """Return a repr that may be logged; see `shown_fields`."""
    fields = ", ".join(f"{name}={value!r}" for name, value in shown_fields(struct, secrets=secrets))
    return f"{type(struct).__name__}({fields})"


def shown_fields(struct: Struct, *, secrets: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    """Return the fields for a repr: those named in `secrets` hidden unless they are empty, URLs without passwords."""
    return [
        (name, _shown(getattr(struct, name), secret=name in secrets)) for name in struct.__struct_fields__
    ]


def _shown(value: Any, *, secret: bool = False) -> Any:  # noqa: ANN401 - whatever a setting holds
    if secret:
        return _HIDDEN if value else value
    match value:
        case str():
            return redact(value)
        case dict():
            return {key: _shown(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def exact(text: str, limit: int | None = None) -> str:
    """Return the text, or so much of it, as a plain str: a subclass may do anything when it is sliced or encoded."""
    return str.__getitem__(text, slice(limit))


def storable(text: str, limit: int = MAX_TEXT) -> str:
    """Return the text as every carrier can hold it: bounded, and with what no encoding has (of file names) escaped."""
    return exact(text, limit).encode(errors="backslashreplace").decode()[:limit]


def real(value: object) -> float:
    """Return a number of any library (numpy, Decimal, Fraction, bool) as a plain float; TypeError when it is none."""
    if isinstance(value, str | bytes | bytearray) or not hasattr(type(value), "__float__"):
        msg = f"a number is wanted, got {type(value).__name__}"
        raise TypeError(msg)
    try:
        return float(cast("float", value))
    except OverflowError:
        return math.inf
