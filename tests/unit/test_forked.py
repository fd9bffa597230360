"""A process that was forked, as its supervisor sees it."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading

import pytest

from headway.runtime.control import WorkerOptions
from headway.runtime.forked import ForkedProcess, fork_worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there are workers forked")


def _python(code: str) -> ForkedProcess:
    return ForkedProcess(os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ))


async def test_it_ends_by_itself() -> None:
    assert await _python("raise SystemExit(7)").wait() == 7


async def test_it_is_killed_and_then_there_is_nobody_to_be_signalled() -> None:
    process = _python("import time; time.sleep(60)")
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        process.send_signal(signal.SIGTERM)


async def test_one_that_somebody_else_has_waited_for_has_ended_too() -> None:
    process = _python("pass")
    os.waitpid(process.pid, 0)  # noqa: ASYNC222 - at once
    assert await process.wait() == 255


def test_nothing_is_forked_where_its_end_could_not_be_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), pid)

    monkeypatch.setattr(os, "pidfd_open", refused)
    assert fork_worker(WorkerOptions("app:app"), 4) is None


def test_nothing_is_forked_beside_other_threads() -> None:
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    try:
        assert fork_worker(WorkerOptions("app:app"), 4) is None
    finally:
        ended.set()
        other.join()
