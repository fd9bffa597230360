"""What the ledger says of a job that was enqueued: where it went, and how far it had come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.job import JobId
from headway.migrate.ids import job_id

if TYPE_CHECKING:
    from headway.migrate.source import Entry


class Sent(Struct, frozen=True, omit_defaults=True):
    """The note of an ENQUEUED entry. `attempt`: so many were used up when it came.

    `duplicate_of` is the job that has the same key and was there before: none was made for this one.
    """

    carrier: str
    attempt: int = 0
    duplicate_of: str = ""


_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder(Sent).decode


def encode_note(sent: Sent) -> str:
    """Write the note of an entry."""
    return _ENCODE(sent).decode()


def read_note(entry: Entry) -> Sent | None:
    """Read the note of an ENQUEUED entry; None when it is damaged."""
    try:
        return _DECODE(entry.note)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def sent_id(entry: Entry, sent: Sent) -> JobId:
    """Return the id of the job on our side."""
    return (
        JobId(sent.duplicate_of) if sent.duplicate_of else job_id(entry.entry_id, entry.lives, sent.carrier)
    )
