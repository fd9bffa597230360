"""What the emulator's store keeps and forgets."""

from __future__ import annotations

from collections import Counter

from headway.emulator.journal import Journal
from headway.emulator.model import HttpRequest, Limits, Queue, Task, TaskSpec, TaskState
from headway.emulator.store import Store
from headway.testing import FakeClock

QUEUE = "projects/p/locations/l/queues/q"


class CountingJournal(Journal):
    def __init__(self) -> None:
        super().__init__()
        self.dropped: Counter[str] = Counter()

    def drop(self, kind: str, name: str) -> None:
        self.dropped[kind] += 1
        super().drop(kind, name)


class Scene:
    def __init__(self) -> None:
        self.journal, self.clock, self.limits = CountingJournal(), FakeClock(), Limits()
        self.store = Store(self.journal, self.clock, self.limits)
        self.store.put_queue(Queue(QUEUE))

    def end(self, *names: str) -> None:
        """Create tasks, and end them."""
        for name in names:
            spec = TaskSpec(name, HttpRequest("http://x"), self.clock.now_ms(), 1000, named=True)
            task = Task(spec, TaskState(0))
            self.store.add_task(task)
            self.store.drop_task(task)

    @property
    def forgotten(self) -> int:
        return self.journal.dropped["gone-task"]


def named(count: int) -> list[str]:
    return [f"{QUEUE}/tasks/t{number}" for number in range(count)]


def test_names_that_are_free_again_are_forgotten_few_at_a_time() -> None:
    scene = Scene()
    names = named(1000)
    scene.end(*names)
    assert scene.store.task_is_gone(names[-1])
    scene.clock.advance(scene.limits.task_name_ms)
    calls, most = 0, 0
    while scene.forgotten < len(names):
        before = scene.forgotten
        assert not scene.store.task_is_gone(names[-1])  # also while it is still remembered
        most = max(most, scene.forgotten - before)
        calls += 1
        # Each call has to forget more names than a create and its end bring in.
        assert calls <= len(names) // 2
    assert most <= 20


def test_a_name_that_went_twice_is_taken_for_its_time_from_the_second() -> None:
    scene = Scene()
    twice, once = named(2)
    scene.end(twice)
    scene.clock.advance(scene.limits.task_name_ms)
    scene.end(once, twice)
    scene.clock.advance(scene.limits.task_name_ms - 1)
    assert scene.store.task_is_gone(twice)
    scene.clock.advance(1)
    assert not scene.store.task_is_gone(twice)
    assert not scene.store.task_is_gone(once)
    assert scene.forgotten == 2
