"""When the emulator tries a task again, against the tables of Google's documentation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.emulator.answers import UNREACHABLE, begun_state, failed_state, verdict_of
from headway.emulator.errors import Code
from headway.emulator.model import HttpRequest, Limits, Queue, RetryConfig, Task, TaskSpec, TaskState
from headway.emulator.retry import backoff_ms, gives_up, policy_of, retry_after_ms
from headway.emulator.target import HttpAnswer

UNTIMED = settings(deadline=None)  # the machine may be busy: nothing here is about speed
LIMITS = Limits()


def config(min_s: float, max_s: float, doublings: int) -> RetryConfig:
    return RetryConfig(
        min_backoff_ms=round(min_s * 1000), max_backoff_ms=round(max_s * 1000), max_doublings=doublings
    )


def task(
    dispatches: int = 1, first_ms: int = 0, created_ms: int = 0, retry: RetryConfig | None = None
) -> Task:
    spec = TaskSpec("t", HttpRequest("http://x"), created_ms, 600_000, named=True, retry=retry)
    return Task(spec, TaskState(0, dispatches, first_dispatch_ms=first_ms))


@pytest.mark.parametrize(
    ("given_config", "seconds"),
    [
        # The example of RetryConfig.max_doublings.
        (config(10, 300, 3), [10, 20, 40, 80, 160, 240, 300, 300]),
        (config(10, 300, 0), [10, 20, 30, 40, 50]),
        # The example of queue.yaml: min 1 s, max 10 s, no doublings; then the same with 2.
        (config(1, 10, 0), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]),
        (config(1, 10, 2), [1, 2, 4, 8, 10, 10]),
        (config(0.1, 3600, 16), [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]),
        (config(5, 5, 16), [5, 5, 5]),
        (config(60, 10, 5), [10, 10]),
    ],
)
def test_the_pause_doubles_then_grows_then_stays(given_config: RetryConfig, seconds: list[float]) -> None:
    assert [backoff_ms(given_config, n) / 1000 for n in range(1, len(seconds) + 1)] == seconds


@UNTIMED
@given(st.integers(0, 10**6), st.integers(0, 10**9), st.integers(0, 2**31 - 1), st.integers(1, 10**6))
def test_the_pause_never_shrinks_and_never_passes_the_maximum(
    low: int, high: int, doublings: int, n: int
) -> None:
    found = RetryConfig(min_backoff_ms=low, max_backoff_ms=high, max_doublings=doublings)
    assert backoff_ms(found, n) <= backoff_ms(found, n + 1) <= high


@pytest.mark.parametrize(
    ("attempts", "duration_s", "dispatches", "age_s", "over"),
    [
        (3, 0, 2, 10**6, False),
        (3, 0, 3, 0, True),
        (-1, 60, 1000, 59, False),
        (-1, 60, 1, 60, True),
        (3, 60, 3, 59, False),  # both must be reached
        (3, 60, 2, 3600, False),
        (3, 60, 3, 60, True),
        (-1, 0, 10**6, 10**6, False),
        (-1, 0, 1, 31 * 86_400, True),  # the retention ends every task
        (0, 0, 1, 0, True),
    ],
)
def test_a_task_is_given_up_when_both_limits_are_reached(
    attempts: int, duration_s: int, dispatches: int, age_s: int, over: bool
) -> None:
    limits = RetryConfig(max_attempts=attempts, max_duration_ms=duration_s * 1000)
    assert gives_up(limits, task(dispatches), age_s * 1000, LIMITS) is over


def test_a_tasks_own_configuration_goes_before_its_queues() -> None:
    own = RetryConfig(max_attempts=7)
    assert policy_of(Queue("q"), task(retry=own)) is own
    assert policy_of(Queue("q", retry=own), task()) is own


@pytest.mark.parametrize(
    ("header", "wait_ms"),
    [
        (None, 0),
        ("", 0),
        ("7", 7000),
        (" 7 ", 7000),
        ("soon", 0),
        ("-5", 0),
        ("1.5", 0),
        ("9" * 400, 60_000),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20_000),
        ("Thu, 01 Jan 1970 00:00:05 GMT", 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 60_000),
        ("Thu, 01 Jan 1970 00:00:30 -0000", 0),  # without a time zone it is no HTTP date
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, wait_ms: int) -> None:
    assert retry_after_ms(header, 10_000, 60_000) == wait_ms


@UNTIMED
@given(st.text(max_size=40))
def test_no_retry_after_header_can_do_harm(header: str) -> None:
    assert 0 <= retry_after_ms(header, 10_000, 60_000) <= 60_000


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (200, Code.OK),
        (204, Code.OK),
        (302, Code.UNKNOWN),
        (404, Code.NOT_FOUND),
        (409, Code.ABORTED),
        (418, Code.FAILED_PRECONDITION),
        (429, Code.RESOURCE_EXHAUSTED),
        (500, Code.INTERNAL),
        (503, Code.UNAVAILABLE),
    ],
)
def test_any_2xx_is_success_and_the_rest_has_a_code(status: int, code: Code) -> None:
    verdict = verdict_of(HttpAnswer(status))
    assert verdict.code is code
    assert verdict.success is (code is Code.OK)
    assert verdict.overloaded is (status in {429, 503})


def test_attempts_without_an_answer_and_with_5xx_are_no_executions() -> None:
    state = TaskState(0)
    for verdict in (verdict_of(HttpAnswer(500)), verdict_of(HttpAnswer(409)), UNREACHABLE):
        state = failed_state(begun_state(state, 5), verdict, 6, 7)
    assert (state.dispatches, state.responses, state.executions) == (3, 2, 1)
    assert state.schedule_us == 7000
    assert state.first_dispatch_ms == 5
    assert state.last is not None
    assert (state.last.status, state.last.code, state.last.responded_ms) == (None, 14, 6)
