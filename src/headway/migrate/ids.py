"""Names that follow from a job's place in its source: whoever computes them gets the same.

An entry of the ledger has a name of the form of a job id, but for its last character, which says nothing. So what is
unlike there is unlike here, and the ledger sees when two jobs of one queue would get one name: then a salt is added.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from headway.job import JobId, mark_of

if TYPE_CHECKING:
    from headway.migrate.found import FoundJob, FoundSchedule
    from headway.migrate.source import Source

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_HASHED: Final = 52  # bits, behind those of the instant
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_SHIFTS: Final = tuple(range(90, -1, -10))  # of pairs: 20 characters
_LATEST: Final = (1 << 48) - 1
_NO_MARK: Final = "0"


def entry_id(source: Source, job: FoundJob, salt: int = 0) -> str:
    """Return the name of the job's entry in the ledger."""
    return _name(job.instant_ms, source.kind, source.identity, job.queue, job.source_id, str(salt))


def schedule_entry_id(source: Source, one: FoundSchedule) -> str:
    """Return the name of a repeating entry's entry in the ledger."""
    return _name(0, source.kind, source.identity, one.queue, one.source_id, "schedule")


def job_id(entry: str, lives: int, carrier: str) -> JobId:
    """Return the id of the job on our side: one for each life, as the id of an ended job is not used again."""
    name = _name(_instant_of(entry), entry, str(lives)) if lives else entry
    return JobId(name[:-1] + mark_of(carrier))


def _instant_of(entry: str) -> int:
    value = 0
    for character in entry:
        value = value << 5 | _ALPHABET.index(character)
    return value >> _HASHED


def _name(instant_ms: int, *parts: str) -> str:
    text = "\0".join((*parts, str(instant_ms))).encode(errors="surrogatepass")
    hashed = int.from_bytes(blake2b(text, digest_size=8).digest()) >> (64 - _HASHED)
    value = min(max(instant_ms, 0), _LATEST) << _HASHED | hashed
    return "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])[:-1] + _NO_MARK
