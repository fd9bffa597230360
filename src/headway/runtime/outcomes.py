"""What becomes of a job: whatever leaves its handler, or fails on the way from there to the carrier, is one outcome.

An exception is known by its class alone, never by what it says of itself: `isinstance` asks an object for its
`__class__`, and a handler's exception may answer anything, or raise. What is raised while an outcome is found (by a
retry policy, by an exception's own methods, by us) is an outcome too. Nothing here raises.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from headway.clock import duration_ms
from headway.codec import decode_history
from headway.errors import Discard, RetryLater
from headway.job import Cancelled, Expired, Failed, Outcome, Released, RetryAt, Succeeded
from headway.raised import because, class_name, message_of, type_name
from headway.retry import GiveUp, Retry, RetryAfter
from headway.runtime.failure import JobTimeoutError, ProcessDiedError, error_of, process_deaths, with_error
from headway.runtime.run import Stop
from headway.text import storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.app.app import Headway
    from headway.app.task import Task
    from headway.job import AttemptError, Delivery
    from headway.runtime.run import JobRun

log: Final = logging.getLogger("headway.job")
"""Where outcomes are logged, of pulled and of pushed jobs alike."""

_RANDOM: Final = random.Random()  # noqa: S311 - jitter, not a secret
_DEFAULT: Final = Retry()
_DISCARDED: Final = "discarded by its handler"


class Outcomes:
    """Judges runs of an app's jobs, and says in the log how they ended."""

    def __init__(self, app: Headway) -> None:
        """Judge by the policies of the app's tasks."""
        self._app = app
        self._tasks: Mapping[str, Task[Any, Any]] = app.tasks

    def of_error(self, run: JobRun, error: BaseException) -> Outcome:
        """Judge what left the handler, or was raised in its stead, by the policy of the task.

        What follows once a run was stopped comes of that: a handler may turn its cancellation into any error.
        """
        kind = type(error)
        if not issubclass(kind, RetryLater | Discard) and run.stop is not None:
            if run.stop is not Stop.TIMEOUT:
                return self.of_stop(run)
            error = self._timeout(run, error)
        try:
            if issubclass(kind, RetryLater):
                return self._later(run, cast("RetryLater", error))
            if issubclass(kind, Discard):
                reason = str(cast("Discard", error).reason)
                return Cancelled(storable(f"discarded: {reason}") if reason else _DISCARDED)
        except BaseException as broken:  # noqa: BLE001 - a subclass of these, or what was written into one
            error = because(broken, error)
        return self._by_policy(run, error)

    def of_stop(self, run: JobRun) -> Outcome:
        """Say how a run ends that was stopped from outside, and obeyed."""
        match run.stop:
            case Stop.CANCEL:
                # An empty reason leaves the word to the carrier: it has the reason that was given with the request.
                return Cancelled(run.reason)
            case Stop.LOST | Stop.DRAIN | Stop.TIMEOUT | None:
                # Lost: then the release is superseded, and recorded as that.
                return Released()

    def of_overdue(self, run: JobRun, what_next: str) -> Outcome:
        """Judge a run that does not end although it was stopped or its time is over: a thread cannot be ended."""
        if run.stop in {Stop.CANCEL, Stop.LOST, Stop.DRAIN}:
            return self.of_stop(run)
        text = f"the attempt did not end at its limit (timeout of task {run.delivery.task!r}); {what_next}"
        return self._by_policy(run, JobTimeoutError(text))

    def failed(self, delivery: Delivery, error: BaseException) -> Failed:
        """Give the job up whatever its policy says: running it again would meet the same error."""
        return Failed(with_error(delivery, self._record(delivery, error)))

    def refused(self, delivery: Delivery, kind: str, message: str) -> Failed:
        """Give the job up before its handler is called; `kind` stands where the type of an exception would."""
        error = error_of(delivery.attempt, self.now_ms(), kind=kind, message=message)
        return Failed(with_error(delivery, error))

    def poisoned(self, delivery: Delivery, deaths: int) -> Failed:
        """Give up a job that has ended so many processes."""
        text = (
            f"the process that ran it died {deaths} times, max_crashes is {self._app.settings.max_crashes}; "
            "look for memory use, signals and exits in its code, then retry it by hand"
        )
        return self.refused(delivery, "PoisonJob", text)

    def postponed(self, delivery: Delivery, seconds: float) -> RetryAt:
        """Have the job come back after about so many seconds; the attempt is not used up."""
        pause = seconds * _RANDOM.uniform(0.5, 1.0)
        return RetryAt(self.now_ms() + round(1000 * pause), delivery.history, counted=False)

    def now_ms(self) -> int:
        """Return the app's clock, in milliseconds since 1970 UTC."""
        return self._app.clock.now_ms()

    def _later(self, run: JobRun, asked: RetryLater) -> Outcome:
        """Run again when the handler wants it; where that counts, no more often than the policy gives attempts."""
        delivery = run.delivery
        at_ms = self.now_ms() + max(0, duration_ms(asked.delay, "RetryLater: delay"))
        if not asked.counts:
            return RetryAt(at_ms, delivery.history, counted=False)
        history = with_error(delivery, self._record(delivery, asked))
        if _own_attempts(delivery) >= self._policy(delivery.task).max_attempts:
            return Failed(history)
        return RetryAt(at_ms, history)

    def _policy(self, name: str) -> Retry:
        task = self._tasks.get(name)
        return _DEFAULT if task is None else task.options_declared.retry

    def _by_policy(self, run: JobRun, error: BaseException) -> Outcome:
        delivery = run.delivery
        if delivery.crashes and issubclass(type(error), ProcessDiedError):
            # Its worker died over it, and now the process that it had to itself: there is nobody else to suspect.
            deaths = delivery.crashes + process_deaths(delivery) + 1
            if deaths >= self._app.settings.max_crashes:
                return self.poisoned(delivery, deaths)
        record = self._record(delivery, error)
        policy = self._policy(delivery.task)
        try:
            match policy.decide(_as_exception(policy, error), _own_attempts(delivery), _RANDOM):
                case RetryAfter(delay=delay):
                    return RetryAt(self.now_ms() + duration_ms(delay), with_error(delivery, record))
                case GiveUp():
                    return Failed(with_error(delivery, record))
        except BaseException as broken:  # noqa: BLE001 - a policy without an answer gives up: anything else has no end
            text = f"the retry policy of task {delivery.task!r} failed, so the job is given up: {message_of(broken)}"
            own = error_of(delivery.attempt, self.now_ms(), kind=type_name(type(broken)), message=text)
            return Failed(with_error(delivery, record, own))

    def _record(self, delivery: Delivery, error: BaseException) -> AttemptError:
        return error_of(delivery.attempt, self.now_ms(), error)

    def _timeout(self, run: JobRun, error: BaseException) -> BaseException:
        """Name the time limit as what ended the attempt, before the error that shows where it was."""
        if issubclass(type(error), JobTimeoutError):
            return error
        text = f"the attempt took longer than its limit (timeout of task {run.delivery.task!r})"
        return because(JobTimeoutError(text), error)

    # --- the log ------------------------------------------------------------------------------------------------

    # A handler or filter of the application's logging that raises costs a line, not an outcome.

    def log_start(self, delivery: Delivery) -> None:
        """Say that an attempt starts."""
        with suppress(BaseException):
            log.debug("%s starts", _named(delivery))

    def log(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        """Say how an attempt ended: a retry is a warning, the dead-letter state an error, with the traceback."""
        with suppress(BaseException):
            self._log(delivery, outcome, seconds)

    def log_lost_reports(self, delivery: Delivery, error: BaseException) -> None:
        """Say that the last reports of a job are not recorded."""
        with suppress(BaseException):
            log.error("%s: its last reports are lost: %s", _named(delivery), message_of(error))

    def _log(self, delivery: Delivery, outcome: Outcome, seconds: float) -> None:
        what = _named(delivery)
        match outcome:
            case RetryAt(at_ms=at_ms, history=history, counted=True):
                wait = max(0, at_ms - self.now_ms()) / 1000
                log.warning("%s failed, again in %.1f s: %s", what, wait, _last(history))
            case Failed(history=history):
                log.error("%s failed, the job is given up: %s", what, _last(history))
            case RetryAt(at_ms=at_ms):
                wait = max(0, at_ms - self.now_ms()) / 1000
                log.info("%s asked to run again in %.1f s", what, wait)
            case Cancelled(reason=reason):
                log.info("%s cancelled: %s", what, reason or "on request")
            case Expired():
                log.info("%s not started: the job has expired", what)
            case Released():
                log.info("%s handed back after %.3f s", what, seconds)
            case Succeeded():
                log.debug("%s succeeded in %.3f s", what, seconds)


def _own_attempts(delivery: Delivery) -> int:
    """Count attempts without crashes, which are not the handler's own failures: they have a cap of their own."""
    return max(1, delivery.attempt - delivery.crashes)


def _as_exception(policy: Retry, error: BaseException) -> BaseException:
    """Let CancelledError, SystemExit and the like, raised by a handler itself, count as failures like any other.

    A policy that names such a class is asked for it.
    """
    kind = type(error)
    if issubclass(kind, Exception) or policy.names(kind):
        return error
    return RuntimeError(class_name(kind))


def _named(delivery: Delivery) -> str:
    return f"job {delivery.lease.job_id}: {delivery.task}, attempt {delivery.attempt}"


def _last(history: bytes) -> str:
    errors = decode_history(history)
    if not errors:
        return "(nothing is recorded of it)"
    last = errors[-1]
    return f"{last.type}: {last.message}\n{last.traceback}".rstrip()
