"""The first worker process of a group, forked from its supervisor while that has nothing but what it imported.

It need not import the same in a second interpreter, and shares the memory of it. Those that follow are programs of
their own: by then the supervisor has a loop, connections and threads, which no copy of it could use. Neither has any
code of the application before the worker loads it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, TextIO

from headway.runtime import child
from headway.runtime.slots import Slots

if TYPE_CHECKING:
    from headway.runtime.control import WorkerOptions

_UNKNOWN: Final = 255  # the exit code of a process that somebody else has waited for, as asyncio has it
_STANDARD: Final = 3  # descriptors
_DESCRIPTORS: Final = "/proc/self/fd"
_COMMANDS: Final = "backslashreplace"  # how a command prints what has no encoding
_ENCODING: Final = "PYTHONIOENCODING"


class ForkedProcess:
    """A process of ours, with what its supervisor needs of an `asyncio.subprocess.Process`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def send_signal(self, number: int) -> None:
        """Send a signal; ProcessLookupError when it has ended. Who has its pid after that is not meant."""
        if self._descriptor < 0:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._descriptor, number)

    async def wait(self) -> int:
        """Wait for its end, once; return the exit code, negative for a signal."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._descriptor)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        try:
            _, status = os.waitpid(self.pid, 0)  # noqa: ASYNC222 - it has ended
        except ChildProcessError:  # SIGCHLD is ignored in this program, or another part of it was quicker
            return _UNKNOWN
        return os.waitstatus_to_exitcode(status)


class Forked(NamedTuple):
    """A worker that was forked: its process, its table, and our end of its control line."""

    process: ForkedProcess
    slots: Slots
    line: socket.socket


def fork_worker(options: WorkerOptions, slots: int) -> Forked | None:
    """Fork the first worker; None where that is not safe or there is no room: it is then started like the others.

    To be called from the main thread of the command, before it has a loop.
    """
    if sys.platform != "linux" or threading.active_count() > 1 or not _can_wait():
        return None
    table = Slots.create(slots)
    ours, theirs = socket.socketpair()
    gc.collect()
    gc.freeze()  # what is looked through for garbage is copied
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody takes it
            stream.flush()
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        table.close()
        return None
    if not pid:
        _become_worker(options, theirs, table)
    theirs.close()
    _group_of_its_own(pid)
    return Forked(ForkedProcess(pid), table, ours)


def _can_wait() -> bool:
    """Whether its end can be waited for, and what it inherits be seen: not before Linux 5.3, nor in every sandbox."""
    try:
        os.close(os.pidfd_open(os.getpid()))
        os.listdir(_DESCRIPTORS)  # noqa: PTH208 - as below
    except OSError:
        return False
    return True


def _become_worker(options: WorkerOptions, line: socket.socket, table: Slots) -> NoReturn:
    """Be what the program `headway.runtime.child` is."""
    try:
        _group_of_its_own(0)
        for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208 - the names are enough
            if int(name) >= _STANDARD and int(name) not in {line.fileno(), table.descriptor}:
                with suppress(OSError):  # it was the listing's own
                    os.close(int(name))
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        sys.stdout, sys.stderr = _of_a_program(sys.stdout, 1), _of_a_program(sys.stderr, 2)
        output: object = sys.stdout
        if isinstance(output, TextIOWrapper) and output.errors == _COMMANDS and not os.environ.get(_ENCODING):
            output.reconfigure(errors="strict")  # what the command changed for its own messages
        if not sys.flags.safe_path:
            sys.path[0] = os.getcwd()  # noqa: PTH109 - sys.path holds texts
        sys.modules["__main__"] = child
        sys.argv = [child.__file__, *child.arguments(options, line.fileno(), table.descriptor, 0)]
        child.main()
    except BaseException:  # noqa: BLE001 - the last stop
        traceback.print_exc()
    finally:
        os._exit(child.EXIT_FAILURE)


def _of_a_program(stream: TextIO | None, descriptor: int) -> TextIO | None:
    """Return the stream, or the one that a program of its own begins with where a host has put another in its place."""
    with suppress(OSError, ValueError, AttributeError):
        if stream is None or stream.fileno() == descriptor:
            return stream
    return os.fdopen(descriptor, "w", errors="backslashreplace", closefd=False)


def _group_of_its_own(pid: int) -> None:
    """As for each worker: what its jobs start can be ended with it. Both sides do it, for either may be first."""
    with suppress(OSError):
        os.setpgid(pid, pid)
