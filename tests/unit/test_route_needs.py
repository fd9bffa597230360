"""What a carrier lacks for the tasks of a queue is said of the task, and of nothing that it can do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from headway import Headway, Retry, Unique
from headway.app.needs import needs_of
from headway.brokers.base import Capabilities
from headway.routing.needs import TaskNeeds, lacks

DAY_MS = 86_400_000
PUSH = Capabilities(
    name="cloudtasks", unique=False, priority=False, max_delay_ms=30 * DAY_MS, max_payload=1000
)


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        (TaskNeeds("mail", "email"), None),
        (TaskNeeds("mail", "email", unique=True), r"task 'mail' of queue 'email' is unique=, and push \(cloudtasks\)"),
        (TaskNeeds("mail", "email", priority=True), "task 'mail' of queue 'email' has a priority"),
        (TaskNeeds("mail", "email", delay_ms=30 * DAY_MS), None),
        (TaskNeeds("mail", "email", delay_ms=31 * DAY_MS), "waits up to 31 days before a retry"),
        (TaskNeeds("mail", "email", payload=1000), None),
        (TaskNeeds("mail", "email", payload=1001), "may have a call of 1001 bytes"),
    ],
)  # fmt: skip
def test_each_lack_names_the_task(needs: TaskNeeds, said: str | None) -> None:
    found = lacks("push", PUSH, [TaskNeeds("other", "email"), needs])
    assert len(found) == (said is not None)
    assert re.search(said or "", "".join(found))
    assert lacks("main", Capabilities("sqlite"), [needs]) == []


def test_needs_are_read_from_the_declarations() -> None:
    app = Headway("shop", payload_limit=500)
    month = timedelta(days=31)

    @app.task(name="plain", queue="email")
    async def plain() -> None: ...

    @app.task(name="late", queue="email", priority=9, unique=Unique(), retry=Retry.after("1s", month))
    async def late() -> None: ...

    @app.task(
        name="ruled",
        queue="email",
        retry=Retry(max_attempts=3, maximum=month, rules={OSError: Retry.after(timedelta(days=40))}),
    )
    async def ruled() -> None: ...

    @app.task(name="other", queue="reports")
    async def other() -> None: ...

    assert list(needs_of(app.tasks, app.settings, ["email"])) == [
        TaskNeeds("plain", "email", delay_ms=600_000, payload=500),
        TaskNeeds("late", "email", unique=True, priority=True, delay_ms=31 * DAY_MS, payload=500),
        TaskNeeds("ruled", "email", delay_ms=40 * DAY_MS, payload=500),
    ]


@pytest.mark.parametrize(
    ("retry", "seconds"),
    [
        (Retry.never(), 0),
        (Retry(max_attempts=3, initial=2, factor=4, maximum=timedelta(days=100)), 8),
        (Retry(max_attempts=5, delays=[1, 50, 2]), 50),
        (Retry(max_attempts=2, delays=[1, 50]), 1),
    ],
)
def test_the_longest_wait_is_that_of_attempts_that_there_are(retry: Retry, seconds: float) -> None:
    app = Headway("shop", offload="file:///tmp/nowhere")

    @app.task(name="one", queue="q", retry=retry)
    async def one() -> None: ...

    assert list(needs_of(app.tasks, app.settings, ["q"])) == [
        TaskNeeds("one", "q", delay_ms=round(seconds * 1000))
    ]
