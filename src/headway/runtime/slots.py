"""A table of started jobs in memory shared between a worker process and its supervisor.

The worker writes, the supervisor reads, at any moment and even when the worker hangs or is dead: which jobs were
started (the suspects of a crash), which one is past its hard deadline, whether the worker holds anything (so needs a
heartbeat), how many jobs it has done, and, asked by a signal, which job its loop is busy with. A torn read is harmless:
the supervisor looks again before it acts, and the epoch fences what it does.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import tempfile
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.job import JobId

if TYPE_CHECKING:
    from typing import Self

    from headway.job import Lease

MAX_LANES: Final = 32
"""Carriers that one worker can serve."""
_HEADER: Final = struct.Struct(
    f"<4sIQQi4x{8 * MAX_LANES}x"
)  # magic, slots, jobs done, answers given, the last answer, jobs held of each lane
# job id, hard deadline (monotonic seconds, 0: none), epoch, apart, lane
_SLOT: Final = struct.Struct("<20sdQ?B2x")
_MAGIC: Final = b"HWS3"
_DONE_AT: Final = 8
_ANSWERS_AT: Final = 16
_HELD_AT: Final = 32
_COUNT: Final = struct.Struct("<Q")
_ANSWER: Final = struct.Struct("<Qi")
_ABANDONED: Final = b"~"  # in the slot of a run that goes on although its job has an outcome
_EMPTY: Final = b"\0" * _SLOT.size


class Started(Struct, frozen=True):
    """A started job. `deadline` is the time.monotonic() at which the process is ended for it; 0: never.

    `apart`: it runs in a process of its own, so that it cannot end this one. `lane` is the number of the lane that it
    came from.
    """

    job_id: JobId
    deadline: float
    epoch: int = 0
    apart: bool = False
    lane: int = 0


class Slots:
    """The table. The supervisor makes it, the worker attaches to it by file descriptor."""

    def __init__(self, descriptor: int, memory: mmap.mmap, count: int) -> None:
        self.descriptor = descriptor
        self._memory = memory
        self._count = count
        self._free = list(range(count - 1, -1, -1))
        self._ended = self.done

    @classmethod
    def create(cls, count: int) -> Self:
        """Make a table for so many jobs at once."""
        size = _HEADER.size + count * _SLOT.size
        descriptor = _nameless_file()
        os.ftruncate(descriptor, size)
        memory = mmap.mmap(descriptor, size)
        _HEADER.pack_into(memory, 0, _MAGIC, count, 0, 0, -1)
        return cls(descriptor, memory, count)

    @classmethod
    def attach(cls, descriptor: int) -> Self:
        """Open the table that the supervisor made; ValueError when the descriptor is something else."""
        memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        magic, count, *_ = _HEADER.unpack_from(memory, 0)
        if magic != _MAGIC:
            msg = "the descriptor is not a table of started jobs"
            raise ValueError(msg)
        return cls(descriptor, memory, count)

    def start(self, lease: Lease, deadline: float, lane: int = 0, *, apart: bool = False) -> int:
        """Enter a job and return its slot; -1 when the table is full (it is then no suspect, and has no hard end)."""
        if not self._free:
            return -1
        slot = self._free.pop()
        at = _HEADER.size + slot * _SLOT.size
        _SLOT.pack_into(self._memory, at, lease.job_id.encode(), deadline, lease.epoch, apart, lane)
        return slot

    def abandon(self, slot: int) -> None:
        """Leave a job that has its outcome although it goes on: the process is to be replaced for it."""
        if slot >= 0:
            at = _HEADER.size + slot * _SLOT.size
            self._memory[at : at + _SLOT.size] = _ABANDONED.ljust(_SLOT.size, b"\0")

    def end(self, slot: int) -> None:
        """Free the slot and count the job as done."""
        if slot >= 0:
            offset = _HEADER.size + slot * _SLOT.size
            self._memory[offset : offset + _SLOT.size] = _EMPTY
            self._free.append(slot)
        self._ended += 1
        _COUNT.pack_into(self._memory, _DONE_AT, self._ended)

    def started(self) -> list[Started]:
        """Return the started jobs."""
        found: list[Started] = []
        for slot in range(self._count):
            raw, deadline, epoch, apart, lane = _SLOT.unpack_from(
                self._memory, _HEADER.size + slot * _SLOT.size
            )
            job_id = raw.rstrip(b"\0")
            if job_id not in {b"", _ABANDONED}:
                found.append(Started(JobId(job_id.decode("ascii", "replace")), deadline, epoch, apart, lane))
        return found

    @property
    def abandoned(self) -> bool:
        """Whether a run goes on here although its job has an outcome."""
        slots = (
            _SLOT.unpack_from(self._memory, _HEADER.size + slot * _SLOT.size) for slot in range(self._count)
        )
        return any(raw.rstrip(b"\0") == _ABANDONED for raw, *_ in slots)

    @property
    def done(self) -> int:
        """How many jobs ended here."""
        return int(_COUNT.unpack_from(self._memory, _DONE_AT)[0])

    def held(self, lane: int = 0) -> int:
        """How many jobs of this lane the worker holds or is about to claim; 0: it needs no heartbeat there."""
        return int(_COUNT.unpack_from(self._memory, _HELD_AT + 8 * lane)[0])

    def hold(self, count: int, lane: int = 0) -> None:
        """Set how many jobs of this lane the worker holds or is about to claim."""
        _COUNT.pack_into(self._memory, _HELD_AT + 8 * lane, count)

    def answer(self, slot: int) -> None:
        """Answer the supervisor's question which slot's job the loop is busy with; -1: none."""
        _ANSWER.pack_into(self._memory, _ANSWERS_AT, self.answers + 1, slot)

    @property
    def answers(self) -> int:
        """How often the worker has answered."""
        return int(_COUNT.unpack_from(self._memory, _ANSWERS_AT)[0])

    def busy_with(self) -> JobId | None:
        """Return the job of the last answer; None when it named none, or one that has ended since."""
        _, slot = _ANSWER.unpack_from(self._memory, _ANSWERS_AT)
        if not 0 <= slot < self._count:
            return None
        raw, *_ = _SLOT.unpack_from(self._memory, _HEADER.size + slot * _SLOT.size)
        return JobId(raw.rstrip(b"\0").decode("ascii", "replace")) or None

    def close(self) -> None:
        """Release the memory and the descriptor."""
        self._memory.close()
        os.close(self.descriptor)


def _nameless_file() -> int:
    """Return a descriptor of memory, for which no folder need be writable; elsewhere of a temporary file."""
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):  # not allowed, or a kernel without
            return os.memfd_create("headway-slots")
    with tempfile.TemporaryFile(prefix="headway-") as file:
        return os.dup(file.fileno())
