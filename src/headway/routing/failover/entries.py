"""What stands in a spool: jobs, each bound to the carrier that is to have it; and what is told of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from headway.errors import CodecError
from headway.job import NewJob

if TYPE_CHECKING:
    from headway.job import JobId

Lane = tuple[str, str]
"""A carrier and a queue: jobs of one lane leave in the order in which they came."""


class Entry(Struct, frozen=True):
    """One job of the spool. Instants are epoch ms."""

    seq: int
    carrier: str
    job: NewJob
    since_ms: int
    tried_ms: int | None  # since then its carrier may have it; None: it was never handed to any
    parked: str = ""  # why it is not brought to its carrier without being asked
    cancelled: str | None = None  # why it is not to run; None: it is


class LaneDepth(Struct, frozen=True):
    """How much of one lane is in the spool, parked jobs left out."""

    carrier: str
    queue: str
    jobs: int
    size: int  # bytes


class SeenBreaker(Struct, frozen=True):
    """A breaker that is not closed, as a process of this host told of it. Instants are epoch ms."""

    carrier: str
    pid: int
    state: str
    since_ms: int
    seen_ms: int
    why: str


class Contents(Struct, frozen=True):
    """What a spool holds."""

    lanes: tuple[LaneDepth, ...] = ()
    oldest_ms: int | None = None  # since when the one waits that has waited longest
    parked: int = 0
    size: int = 0  # bytes of all, parked ones too
    jobs: int = 0  # all, parked ones too
    flushed: int = 0  # brought home since the file was made
    breakers: tuple[SeenBreaker, ...] = ()


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(NewJob)


def encode(job: NewJob) -> bytes:
    """Write a job."""
    return _ENCODER.encode(job)


def decode(body: bytes, job_id: JobId | str) -> NewJob:
    """Read a job; CodecError names one that is damaged."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"job {job_id} in the spool is damaged: {error}"
        raise CodecError(msg) from error
