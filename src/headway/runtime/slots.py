"""A table of started jobs in memory shared between a worker process and its supervisor.

The worker writes, the supervisor reads, at any moment and even when the worker hangs or is dead: which jobs were
started (the suspects of a crash), which one is past its hard deadline, whether the worker holds anything (so needs a
heartbeat), and how many jobs it has done. A torn read is harmless: the supervisor looks again before it acts, and the
epoch fences what it does.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.job import JobId

if TYPE_CHECKING:
    from typing import Self

_HEADER: Final = struct.Struct("<4sIQQ")  # magic, slots, jobs done, jobs held
_SLOT: Final = struct.Struct("<20sd")  # job id, hard deadline (monotonic seconds, 0: none)
_MAGIC: Final = b"HWS1"
_DONE_AT: Final = 8
_HELD_AT: Final = 16
_COUNT: Final = struct.Struct("<Q")
_EMPTY: Final = b"\0" * _SLOT.size


class Started(Struct, frozen=True):
    """A started job. `deadline` is the time.monotonic() at which the process is ended for it; 0: never."""

    job_id: JobId
    deadline: float


class Slots:
    """The table. The supervisor makes it, the worker attaches to it by file descriptor."""

    def __init__(self, descriptor: int, memory: mmap.mmap, count: int) -> None:
        self.descriptor = descriptor
        self._memory = memory
        self._count = count
        self._free = list(range(count - 1, -1, -1))

    @classmethod
    def create(cls, count: int) -> Self:
        """Make a table for so many jobs at once."""
        size = _HEADER.size + count * _SLOT.size
        with tempfile.TemporaryFile(prefix="headway-") as file:
            descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        _HEADER.pack_into(memory, 0, _MAGIC, count, 0, 0)
        return cls(descriptor, memory, count)

    @classmethod
    def attach(cls, descriptor: int) -> Self:
        """Open the table that the supervisor made; ValueError when the descriptor is something else."""
        memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        magic, count, _, _ = _HEADER.unpack_from(memory, 0)
        if magic != _MAGIC:
            msg = "the descriptor is not a table of started jobs"
            raise ValueError(msg)
        return cls(descriptor, memory, count)

    def start(self, job_id: JobId, deadline: float) -> int:
        """Enter a job and return its slot; -1 when the table is full (it is then no suspect, and has no hard end)."""
        if not self._free:
            return -1
        slot = self._free.pop()
        _SLOT.pack_into(self._memory, _HEADER.size + slot * _SLOT.size, job_id.encode(), deadline)
        return slot

    def end(self, slot: int) -> None:
        """Free the slot and count the job as done."""
        if slot >= 0:
            offset = _HEADER.size + slot * _SLOT.size
            self._memory[offset : offset + _SLOT.size] = _EMPTY
            self._free.append(slot)
        _COUNT.pack_into(self._memory, _DONE_AT, self.done + 1)

    def started(self) -> list[Started]:
        """Return the started jobs."""
        found: list[Started] = []
        for slot in range(self._count):
            raw, deadline = _SLOT.unpack_from(self._memory, _HEADER.size + slot * _SLOT.size)
            job_id = raw.rstrip(b"\0")
            if job_id:
                found.append(Started(JobId(job_id.decode("ascii", "replace")), deadline))
        return found

    @property
    def done(self) -> int:
        """How many jobs ended here."""
        return int(_COUNT.unpack_from(self._memory, _DONE_AT)[0])

    @property
    def held(self) -> int:
        """How many jobs the worker holds or is about to claim; 0: it needs no heartbeat."""
        return int(_COUNT.unpack_from(self._memory, _HELD_AT)[0])

    @held.setter
    def held(self, count: int) -> None:
        _COUNT.pack_into(self._memory, _HELD_AT, count)

    def close(self) -> None:
        """Release the memory and the descriptor."""
        self._memory.close()
        os.close(self.descriptor)
