"""Secrets out of texts that people see: addresses in messages, settings in reprs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from msgspec import Struct

_SECRET_OPTION: Final = re.compile(r"(?i)([?&][^=&#]*(?:password|secret|token)[^=&#]*=)[^&#]*")
_HIDDEN: Final = "***"


def redact(url: str) -> str:
    """Return the URL with its password, and options that look like secrets, replaced by `***`; any text is fine."""
    head, separator, rest = url.partition("://")
    if not separator:
        return url
    # The last @ before the path ends the credentials: a password may itself hold one.
    end = min((place for mark in "/?#" if (place := rest.find(mark)) >= 0), default=len(rest))
    if "@" not in rest[:end] and "@" in rest:
        end = len(rest)  # an unquoted / in a password: rather hide too much
    authority, tail = rest[:end], rest[end:]
    credentials, at, host = authority.rpartition("@")
    if at:
        user, colon, _ = credentials.partition(":")
        authority = f"{user}{colon}{_HIDDEN if colon else ''}@{host}"
    shown = _SECRET_OPTION.sub(rf"\1{_HIDDEN}", tail)
    return f"{head}://{authority}{shown}"


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
