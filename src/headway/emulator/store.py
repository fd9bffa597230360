"""The queues and tasks that there are. In memory is the truth; each change also goes to the journal."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

from headway.emulator.model import Queue, Task, TaskSpec, TaskState
from headway.emulator.names import queue_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headway.clock import Clock
    from headway.emulator.journal import Journal
    from headway.emulator.model import Limits

_log: Final = logging.getLogger("headway.emulator")

_QUEUE: Final = "queue"
_SPEC: Final = "task"
_STATE: Final = "attempts"
_GONE_TASK: Final = "gone-task"
_GONE_QUEUE: Final = "gone-queue"
_POLICY: Final = "policy"
_FORGOTTEN_AT_ONCE: Final = 16

_encode: Final = msgspec.msgpack.Encoder().encode
_queue: Final = msgspec.msgpack.Decoder(Queue).decode
_spec: Final = msgspec.msgpack.Decoder(TaskSpec).decode
_state: Final = msgspec.msgpack.Decoder(TaskState).decode
_instant: Final = msgspec.msgpack.Decoder(int).decode


class _Gone:
    """Names that cannot be used again yet, oldest first: each is kept for the same time."""

    def __init__(self, kind: str, journal: Journal) -> None:
        self._kind = kind
        self._journal = journal
        # Not a plain dict: one that is emptied from the front passes over all the holes at each look.
        self._since: OrderedDict[str, int] = OrderedDict()

    def load(self) -> None:
        found = self._journal.read(self._kind, _instant)
        self._since = OrderedDict(sorted(found.items(), key=lambda entry: entry[1]))

    def add(self, name: str, now_ms: int) -> None:
        self._since[name] = now_ms
        self._since.move_to_end(name)
        self._journal.put(self._kind, name, _encode(now_ms))

    def clear(self) -> None:
        for name in self._since:
            self._journal.drop(self._kind, name)
        self._since.clear()

    def holds(self, name: str, now_ms: int, keep_ms: int) -> bool:
        """Tell whether the name went less than `keep_ms` ago, and forget some of those that went before that.

        A few a call: more than come in by one, and not so many that a call after a quiet hour keeps the loop.
        """
        for _ in range(_FORGOTTEN_AT_ONCE):
            oldest = next(iter(self._since), None)
            if oldest is None or self._since[oldest] > now_ms - keep_ms:
                break
            del self._since[oldest]
            self._journal.drop(self._kind, oldest)
        since = self._since.get(name)
        return since is not None and since > now_ms - keep_ms


class Store:
    """Queues, their tasks, and the names of those that ended lately."""

    def __init__(self, journal: Journal, clock: Clock, limits: Limits) -> None:
        """`load` brings back what the journal kept."""
        self.journal = journal
        self._clock = clock
        self._limits = limits
        self._gone_tasks = _Gone(_GONE_TASK, journal)
        self._gone_queues = _Gone(_GONE_QUEUE, journal)
        self._queues: dict[str, Queue] = {}
        # By the order of their creation. Ordered, as their oldest are looked for while those end first: see _Gone.
        self._tasks: dict[str, OrderedDict[str, Task]] = {}
        self._policies: dict[str, bytes] = {}
        self._forgotten = asyncio.Event()

    def load(self) -> None:
        """Take over what an earlier emulator left in the journal."""
        self._gone_tasks.load()
        self._gone_queues.load()
        self._queues = self.journal.read(_QUEUE, _queue)
        self._tasks = {name: OrderedDict() for name in self._queues}
        self._policies = self.journal.load(_POLICY)
        states = self.journal.read(_STATE, _state)
        for name, spec in self.journal.read(_SPEC, _spec).items():
            tasks = self._tasks.get(queue_of(name))
            if tasks is None:
                _log.error("state file: task %s is left out, as its queue is not there", name)
                continue
            # One whose attempts cannot be read begins anew: rather once more than never.
            tasks[name] = Task(spec, states.get(name) or TaskState(spec.created_ms * 1000))

    def queue(self, name: str) -> Queue | None:
        """Return the queue, if there is one."""
        return self._queues.get(name)

    def queues(self) -> Iterable[Queue]:
        """Return all queues."""
        return self._queues.values()

    def put_queue(self, queue: Queue) -> None:
        """Make a queue, or change it."""
        self._queues[queue.name] = queue
        self._tasks.setdefault(queue.name, OrderedDict())
        self.journal.put(_QUEUE, queue.name, _encode(queue))

    def drop_queue(self, name: str) -> None:
        """Forget a queue, its tasks and its policy; its name stays taken for a while."""
        self.clear(name)
        del self._queues[name], self._tasks[name]
        self.journal.drop(_QUEUE, name)
        if self._policies.pop(name, None) is not None:
            self.journal.drop(_POLICY, name)
        self._gone_queues.add(name, self._clock.now_ms())

    def queue_is_gone(self, name: str) -> bool:
        """Tell whether a queue of this name was deleted too short a time ago to make another."""
        return self._gone_queues.holds(name, self._clock.now_ms(), self._limits.queue_name_ms)

    def task(self, name: str) -> Task | None:
        """Return the task, if there is one."""
        tasks = self._tasks.get(queue_of(name))
        return None if tasks is None else tasks.get(name)

    def tasks(self, queue: str) -> dict[str, Task]:
        """Return the queue's tasks by name; not to be changed."""
        return self._tasks[queue]

    def oldest(self, queue: str) -> Task | None:
        """Return the task that was created before all others of the queue; None when it has none."""
        return next(iter(self._tasks[queue].values()), None)

    def add_task(self, task: Task) -> None:
        """Keep a new task."""
        self._tasks[queue_of(task.name)][task.name] = task
        self.journal.put(_SPEC, task.name, _encode(task.spec))
        self.journal.put(_STATE, task.name, _encode(task.state))

    def set_state(self, task: Task, state: TaskState) -> Task:
        """Keep what an attempt changed."""
        changed = Task(task.spec, state)
        self._tasks[queue_of(task.name)][task.name] = changed
        self.journal.put(_STATE, task.name, _encode(state))
        return changed

    def drop_task(self, task: Task) -> None:
        """Forget a task that ended; its name stays taken for a while."""
        del self._tasks[queue_of(task.name)][task.name]
        self.journal.drop(_SPEC, task.name)
        self.journal.drop(_STATE, task.name)
        forgotten, self._forgotten = self._forgotten, asyncio.Event()
        forgotten.set()
        if task.spec.named:
            self._gone_tasks.add(task.name, self._clock.now_ms())

    def clear(self, queue: str) -> int:
        """Forget all tasks of a queue; return how many."""
        tasks = list(self._tasks[queue].values())
        for task in tasks:
            self.drop_task(task)
        return len(tasks)

    async def until_empty(self, seconds: float, prefix: str) -> int:
        """Wait until queues whose names begin so have no task; return how many are left when the time is over."""
        end = time.monotonic() + seconds
        while left := sum(len(tasks) for name, tasks in self._tasks.items() if name.startswith(prefix)):
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    await self._forgotten.wait()
            except TimeoutError:
                return left
        return 0

    def forget_names(self) -> None:
        """Free all names of tasks and queues that ended."""
        self._gone_tasks.clear()
        self._gone_queues.clear()

    def task_is_gone(self, name: str) -> bool:
        """Tell whether a task of this name ended too short a time ago to make another."""
        return self._gone_tasks.holds(name, self._clock.now_ms(), self._limits.task_name_ms)

    def policy(self, queue: str) -> bytes:
        """Return the queue's IAM policy as it was set; empty when none was."""
        return self._policies.get(queue, b"")

    def set_policy(self, queue: str, policy: bytes) -> None:
        """Keep the queue's IAM policy."""
        self._policies[queue] = policy
        self.journal.put(_POLICY, queue, policy)
