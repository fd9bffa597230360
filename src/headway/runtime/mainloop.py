"""The event loop of a process of ours: no handler ends it, or what else runs on it.

- SystemExit and KeyboardInterrupt that leave a task pass through the loop, by asyncio's design: they would end the
  process, and all jobs in it. The task has the exception all the same, and whoever awaits it gets it; so the loop just
  goes on, as it does after `loop.stop()`.
- `asyncio.all_tasks()` shows a handler its own tasks and those of other handlers, not ours: cancelling them all is
  what programs do at their end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from headway.app.loops import new_loop
from headway.raised import message_of, trace_of, type_name
from headway.runtime.current import current_run

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_log: Final = logging.getLogger("headway.job")
_OURS: Final = f"{Path(__file__).parents[1]}{os.sep}"


def run_main(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a loop of its own, whatever handlers on it do."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        loop = runner.get_loop()
        loop.set_task_factory(_new_task)  # type: ignore[arg-type]  # with the options of newer Pythons
        _ends_in_forks(loop)
        task = loop.create_task(main)
        task.add_done_callback(lambda _: loop.stop())
        while not task.done():
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                _log.error(
                    "%s (%s) left a task or a callback of a handler; the process goes on\n%s",
                    type_name(type(error)),
                    message_of(error),
                    trace_of(error),
                )
        return task.result()


def _new_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, T],
    **options: Any,  # noqa: ANN401 - those of the Python that calls it
) -> asyncio.Task[T]:
    """Make a task, and hide it from `asyncio.all_tasks()` unless it belongs to the handler of a job."""
    run = current_run.get()
    if run is not None and options.get("context") is None:
        options["context"] = current_run.context()
    task = asyncio.Task(coroutine, loop=loop, **options)
    code = getattr(coroutine, "cr_code", None)
    if run is None or (code is not None and code.co_filename.startswith(_OURS)):
        asyncio._unregister_task(task)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownMemberType] - documented, for makers of tasks
    return task


def _ends_in_forks(loop: asyncio.AbstractEventLoop) -> None:
    """End a process that a coroutine forked when it comes back to its copy of the loop: all other jobs are there."""
    thread = threading.get_ident()

    def forked() -> None:
        if threading.get_ident() == thread and not loop.is_closed():
            loop.call_soon(os._exit, 0)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)
