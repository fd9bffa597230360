"""What a worker and the processes of its jobs say to each other: length-prefixed MessagePack over a socket pair."""

from __future__ import annotations

import asyncio
import struct
from typing import Final

import msgspec
from msgspec import Struct

from headway.errors import CodecError
from headway.job import Delivery, Outcome

_LENGTH: Final = struct.Struct("!I")
_MAX_MESSAGE: Final = 1 << 30


class Perform(Struct, frozen=True, tag=True):
    """To the process: run this job within so many seconds."""

    delivery: Delivery
    timeout: float


class Interrupt(Struct, frozen=True, tag=True):
    """To the process: stop the job softly. `stop` is the name of a Stop."""

    stop: str
    reason: str = ""


class Imported(Struct, frozen=True, tag=True):
    """From the process: the app is imported, its resources are being opened."""


class Ready(Struct, frozen=True, tag=True):
    """From the process: the app is imported, its resources are open."""


class Progressed(Struct, frozen=True, tag=True):
    """From the process: how far its job is."""

    fraction: float
    message: str


class Logged(Struct, frozen=True, tag=True):
    """From the process: a line of its job's log."""

    level: str
    message: str


class Done(Struct, frozen=True, tag=True):
    """From the process: how its job ended."""

    outcome: Outcome


ToProcess = Perform | Interrupt
FromProcess = Imported | Ready | Progressed | Logged | Done

_encode: Final = msgspec.msgpack.Encoder().encode
read_to_process: Final = msgspec.msgpack.Decoder(ToProcess)
read_from_process: Final = msgspec.msgpack.Decoder(FromProcess)


def frame(message: ToProcess | FromProcess) -> bytes:
    """Return the bytes of a message."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the bytes of the next message; None at the end. CodecError when the stream is damaged."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > _MAX_MESSAGE:
            msg = f"a message between worker and job process claims {length} bytes"
            raise CodecError(msg)
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
