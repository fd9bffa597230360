"""What handlers do to the loop of a process of ours, with each kind of loop there is."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from headway.runtime import mainloop
from headway.runtime.current import current_run
from headway.runtime.mainloop import run_main

if TYPE_CHECKING:
    from collections.abc import Coroutine


@pytest.fixture(
    params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"], autouse=True
)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mainloop, "new_loop", request.param)


def in_thread(main: Coroutine[Any, Any, Any]) -> Any:
    """Run the coroutine as a process of ours does; in a thread, because pytest has a loop of its own here."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(run_main(main)))
    thread.start()
    thread.join(20)
    assert found, "it did not come to its end"
    return found[0]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_what_would_end_the_process_reaches_who_awaits_it_and_nobody_else(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def bad() -> None:
        await asyncio.sleep(0)
        raise error

    async def neighbour() -> str:
        await asyncio.sleep(0.05)
        return "done"

    async def main() -> list[Any]:
        beside = asyncio.create_task(neighbour())
        seen: list[Any] = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(bad())
        except BaseException as raised:  # noqa: BLE001 - that is what is looked at
            seen.append(type(raised))
        (awaited,) = await asyncio.gather(bad(), return_exceptions=True)
        seen.append(type(awaited))
        return [*seen, await beside]

    assert in_thread(main()) == [type(error), type(error), "done"]
    assert f"{type(error).__name__} " in caplog.text
    assert "test_mainloop.py" in caplog.text


def test_a_loop_that_is_stopped_goes_on() -> None:
    async def main() -> str:
        for _ in range(3):
            asyncio.get_running_loop().stop()
            asyncio.get_running_loop().call_soon(sys.exit, 3)
            await asyncio.sleep(0)
        return "done"

    assert in_thread(main()) == "done"


def test_a_handler_sees_the_tasks_of_handlers_only() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    async def main() -> list[str]:
        ours = asyncio.create_task(wait())
        current_run.enter("a run")  # type: ignore[arg-type]  # of no matter here
        own = asyncio.create_task(wait(), name="its own")
        names = [task.get_name() for task in asyncio.all_tasks()]
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.wait([own])
        assert not ours.cancelling()
        ours.cancel()
        return names

    assert in_thread(main()) == ["its own"]


def test_a_fork_ends_when_it_comes_back_to_the_loop() -> None:
    read, write = os.pipe()

    async def main() -> int:
        child = os.fork()
        if child == 0:
            os.write(write, b"forked")
            await asyncio.sleep(0)
            os.write(write, b"went on")
            os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])  # noqa: ASYNC222 - it ends at once

    try:
        assert in_thread(main()) == 0
        assert os.read(read, 100) == b"forked"
    finally:
        os.close(read)
        os.close(write)
