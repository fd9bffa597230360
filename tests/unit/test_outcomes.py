"""Whatever is raised, the judge answers with one outcome, by the policy of the task, and writes it down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from headway import Headway, Retry, RetryLater
from headway.codec import decode_history
from headway.job import Cancelled, Delivery, Failed, JobId, Lease, Outcome, Released, RetryAt, WorkerId
from headway.raised import type_name
from headway.runtime.outcomes import Outcomes
from headway.runtime.run import JobRun, Stop
from headway.testing import FakeClock
from tests.hostile import THROWN, Hostile, HostileLater

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

NOW = 1_000_000
JOB = JobId("0" * 20)
app = Headway("outcomes", clock=FakeClock(NOW))


class Policy(Retry):
    """A policy that fails."""

    def decide(self, exception: BaseException, attempt: int, rng: Random) -> NoReturn:
        raise AttributeError(HostileLater())


class Quiet:
    """Takes no reports."""

    def progress(self, *_: Any) -> None: ...
    def log(self, *_: Any) -> None: ...
    async def flush(self, _lease: Lease) -> None: ...
    def busy(self, _lease: Lease) -> bool:
        return False


async def _nothing() -> None: ...


for _name, _retry in {
    "never": Retry.never(),
    "again": Retry(max_attempts=3, initial=1, jitter=0),
    "broken": Policy(),
    "names": Retry(max_attempts=1, rules={SystemExit: Retry(max_attempts=2, initial=5, jitter=0)}),
    "gives up": Retry(give_up_on=(KeyError, SystemExit)),
}.items():
    app.task(name=_name, retry=_retry)(_nothing)


def run_of(task: str, *, attempt: int = 1, stop: Stop | None = None) -> JobRun:
    run = JobRun(Delivery(Lease(JOB, WorkerId("w"), 1), task, "q", b"", 5, attempt, 0), Quiet())
    run.stop = stop
    return run


def thrown(make: Callable[[], BaseException]) -> BaseException:
    try:
        raise make()  # noqa: TRY301 - with a traceback
    except BaseException as error:  # noqa: BLE001 - that is what is looked at
        return error


def judged(task: str, error: BaseException, **more: Any) -> Outcome:
    run = run_of(task, **more)
    outcome = Outcomes(app).of_error(run, error)
    Outcomes(app).log(run.delivery, outcome, 0.1)
    return outcome


def kinds(outcome: Outcome) -> list[str]:
    assert isinstance(outcome, Failed | RetryAt)
    return [error.type for error in decode_history(outcome.history)]


@pytest.mark.parametrize("name", THROWN)
def test_whatever_is_raised_is_one_failure_by_the_policy(name: str) -> None:
    error = thrown(THROWN[name])
    expected = type_name(type(error))
    if "Later" in name or ("Discard" in name and "Lying" not in name):
        expected = ""  # what is wrong with the wish stands in its stead
    for task, attempt in [("never", 1), ("again", 1), ("again", 3)]:
        outcome = judged(task, error, attempt=attempt)
        again = task == "again" and attempt == 1
        assert isinstance(outcome, RetryAt if again else Failed)
        (record,) = decode_history(outcome.history)
        assert record.attempt == attempt
        assert not expected or record.type == expected
        assert len(record.message) <= 2000
        assert len(record.traceback) <= 8000
        assert "test_outcomes.py" in record.traceback or len(record.traceback) > 7000


@pytest.mark.parametrize("name", ["ValueError", "KeyboardInterrupt", "Hostile"])
def test_a_policy_that_fails_ends_the_job_with_both_errors_written_down(name: str) -> None:
    outcome = judged("broken", thrown(THROWN[name]))
    assert isinstance(outcome, Failed)
    first, second = decode_history(outcome.history)
    assert name in first.type
    assert second.type == "AttributeError"
    assert "the retry policy of task 'broken' failed" in second.message


def test_a_policy_may_name_what_is_no_exception() -> None:
    outcome = judged("names", SystemExit(3))
    assert isinstance(outcome, RetryAt)
    assert outcome.at_ms == NOW + 5000
    assert isinstance(judged("names", KeyboardInterrupt()), Failed)
    assert isinstance(judged("gives up", SystemExit(3)), Failed)
    assert isinstance(judged("gives up", KeyboardInterrupt()), RetryAt)


@pytest.mark.parametrize("stop", [Stop.DRAIN, Stop.LOST])
@pytest.mark.parametrize("name", ["ValueError", "asyncio.CancelledError", "Hostile", "SystemExit"])
def test_an_error_that_comes_of_the_interruption_hands_the_job_back(name: str, stop: Stop) -> None:
    assert judged("never", thrown(THROWN[name]), stop=stop) == Released()


def test_an_error_that_comes_of_a_cancellation_is_a_cancellation() -> None:
    run = run_of("never", stop=Stop.CANCEL)
    run.reason = "too slow"
    assert Outcomes(app).of_error(run, ValueError()) == Cancelled("too slow")


def test_an_error_that_comes_of_the_time_limit_is_the_time_limits() -> None:
    outcome = judged("never", thrown(THROWN["ValueError"]), stop=Stop.TIMEOUT)
    assert kinds(outcome) == ["headway.runtime.failure.JobTimeoutError"]
    assert isinstance(outcome, Failed)
    assert "ValueError: thrown" in decode_history(outcome.history)[0].traceback


def test_the_log_tells_of_retries_and_dead_letters_with_the_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    judged("again", thrown(THROWN["ValueError"]))
    judged("never", thrown(THROWN["ValueError"]), attempt=2)
    warning, error = caplog.records
    assert (warning.levelname, error.levelname) == ("WARNING", "ERROR")
    assert f"job {JOB}: again, attempt 1 failed, again in 1.0 s: ValueError: thrown" in warning.getMessage()
    assert (
        f"job {JOB}: never, attempt 2 failed, the job is given up: ValueError: thrown" in error.getMessage()
    )
    assert all("Traceback (most recent call last)" in one.getMessage() for one in caplog.records)


def test_a_log_that_fails_costs_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise Hostile

    monkeypatch.setattr("logging.Logger.handle", refuse)
    assert isinstance(judged("never", ValueError()), Failed)


def test_a_retry_that_the_handler_asks_for_may_count_up_to_the_attempts_of_the_policy() -> None:
    outcome = judged("again", RetryLater(5, "the bank is closed", counts=True), attempt=2)
    assert isinstance(outcome, RetryAt)
    assert (outcome.at_ms, outcome.counted) == (NOW + 5000, True)
    assert [error.message for error in decode_history(outcome.history)] == ["the bank is closed"]
    assert isinstance(judged("again", RetryLater(5, counts=True), attempt=3), Failed)
    assert isinstance(judged("never", RetryLater(5, counts=True)), Failed)
    assert judged("never", RetryLater(5)) == RetryAt(NOW + 5000, counted=False)
