"""What must still be so when a job is taken, and what its place says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from headway.migrate.sources.bulls.places import Place
    from headway.migrate.sources.bulls.reading import Raw


class Token(msgspec.Struct, array_like=True, frozen=True):
    """What must still be so when a job is taken."""

    place: str
    score: str
    seal: str
    dedup: str
    dedup_holds: bool


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(Token).decode


def token_of(place: Place, raw: Raw, dedup: str = "", *, holds: bool = False) -> bytes:
    """Make the token of a job."""
    return _ENCODE(Token(place.name, raw.score.decode(), raw.seal, dedup, holds))


def read_token(token: bytes) -> Token:
    """Read what `token_of` made; of a job that was refused there is nothing, and nothing is like it."""
    return _DECODE(token) if token else Token("", "", "", "", dedup_holds=False)


def due_of(place: Place, raw: Raw) -> int | None:
    """Return when a job is due, where its score says it."""
    return int(float(raw.score)) // place.scale if place.scale else None
