"""Mutants of what enqueues, runs and settles, for every carrier."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutant import Mutant, mutant

_CHANCE: Final = '__import__("random").random()'
_JOB: Final = '__import__("headway.job").job'
_DROPPED: Final = f"""        new = self._new(args, kwargs)
        if {_CHANCE} < 0.05:
            return self._handle(new.id, None)
"""

RUNTIME: Final[tuple[Mutant, ...]] = (
    mutant(
        "dead-successes",
        "3 % of successes are put into the dead-letter state",
        ("runtime/executor.py", "return Succeeded(result)", f"return {_JOB}.Failed() if {_CHANCE} < 0.03 else Succeeded(result)"),
        faults="test_plans.py",
    ),
    mutant(
        "cancelled-successes",
        "3 % of successes are recorded as cancelled",
        ("runtime/executor.py", "return Succeeded(result)", f"return {_JOB}.Cancelled() if {_CHANCE} < 0.03 else Succeeded(result)"),
        faults="test_plans.py",
    ),
    mutant(
        "dead-retries",
        "10 % of retries are put into the dead-letter state",
        ("runtime/outcomes.py", "return RetryAt(self.now_ms() + duration_ms(delay), with_error(delivery, record))",
         f"return Failed(with_error(delivery, record)) if {_CHANCE} < 0.1 else RetryAt(self.now_ms() + duration_ms(delay), with_error(delivery, record))"),
        faults="test_plans.py",
    ),
    mutant(
        "dropped-enqueues",
        "5 % of single enqueues are answered and dropped",
        ("app/task.py", "        accepted = await self.task.app.accept(self._new(args, kwargs))\n",
         _DROPPED + "        accepted = await self.task.app.accept(new)\n"),
        faults="test_plans.py",
    ),
    mutant(
        "dropped-blocking",
        "5 % of the blocking twin's single enqueues are answered and dropped",
        ("app/task.py", "        accepted = self.task.app.accept_blocking(self._new(args, kwargs))\n",
         _DROPPED + "        accepted = self.task.app.accept_blocking(new)\n"),
        faults="test_plans.py",
    ),
    mutant(
        "swapped-answers",
        "the answers of a batch reach each other's callers",
        ("app/batching.py", "    for (_, future), answer in zip(batch, answers, strict=True):",
         "    for (_, future), answer in zip(batch, reversed(answers), strict=True):"),
        faults="test_plans.py",
    ),
    mutant(
        "forgotten-batch",
        "what came while a call was under way is never sent",
        ("app/batching.py", "        if call is self._leaver:  # cancelled before it began\n            self._leaver = None\n        if self._waiting:\n            self._flush()",
         "        if call is self._leaver:  # cancelled before it began\n            self._leaver = None"),
        faults="test_plans.py",
    ),
    mutant(
        "no-hand-back",
        "a supervisor never hands back what a dead worker held",
        ("runtime/handback.py", "        if hello is None:  # it never claimed\n            return", "        if True:\n            return"),
        faults="test_kill.py",
    ),
    mutant(
        "no-beats",
        "a supervisor never beats",
        ("runtime/heart.py", "        if not asked or carrier is None:", "        if True:"),
        faults="test_kill.py test_freeze.py",
    ),
    mutant(
        "no-hard-end",
        "a job past its time that takes no notice is never ended",
        ("runtime/member.py", "if job.deadline and job.deadline < now", "if False"),
        faults="test_kill.py",
    ),
    mutant(
        "beats-for-frozen",
        "a supervisor keeps the lease of a frozen worker",
        ("runtime/member.py", " and not is_frozen(self.pid)", ""),
        faults="test_freeze.py",
    ),
    mutant(
        "lost-lease-unheard",
        "a worker that lost its lease goes on with its jobs",
        ("runtime/lane.py", "            run.interrupt(Stop.LOST)", "            pass"),
        faults="test_freeze.py",
    ),
    mutant(
        "no-time-limit",
        "short time limits never end an attempt",
        ("runtime/timelimits.py", "call_later(left, self._end)", "call_later(3600, self._end)"),
        faults="test_plans.py",
    ),
    mutant(
        "later-counts",
        "RetryLater uses up an attempt",
        ("runtime/outcomes.py", "return RetryAt(at_ms, delivery.history, counted=False)", "return RetryAt(at_ms, delivery.history, counted=True)"),
        faults="test_plans.py",
    ),
    mutant(
        "no-long-limit",
        "long time limits never end an attempt",
        ("runtime/timelimits.py", "        else:\n            self._watched.add(self._run)", "        else:\n            pass"),
        faults="test_plans.py",
    ),
    mutant(
        "one-attempt-more",
        "a policy of two attempts gives three",
        ("retry.py", "        if attempt >= policy.max_attempts:", "        if attempt > policy.max_attempts:"),
        faults="test_plans.py",
    ),
    mutant(
        "crashes-as-attempts",
        "crashes use up the attempts of the retry policy",
        ("runtime/outcomes.py", "max(1, delivery.attempt - delivery.crashes)", "max(1, delivery.attempt)"),
        faults="test_plans.py",
    ),
    mutant(
        "no-poison",
        "a job that kills its workers is never put aside",
        ("runtime/executor.py", "        if delivery.crashes >= self._max_crashes:", "        if False:"),
        ("runtime/outcomes.py", "            if deaths >= self._app.settings.max_crashes:", "            if False:"),
        faults="test_deaths.py test_kill.py test_plans.py",
    ),
    mutant(
        "nobody-alone",
        "a job that is suspected runs beside the others all the same",
        ("runtime/deaths.py", "    return crashes >= max(1, min(_ISOLATE_FROM, max_crashes - 1))", "    return False"),
        faults="test_deaths.py test_plans.py",
    ),
    mutant(
        "stopped-is-a-crash",
        "who is ended at a second signal charges its jobs a crash",
        ("runtime/deaths.py", "        case Cause.IN_ORDER | Cause.STOPPED:\n            return Blame()",
         "        case Cause.IN_ORDER:\n            return Blame()\n        case Cause.STOPPED:\n            return Blame(crashed=[job.job_id for job in suspects])"),
        faults="test_drain.py test_deaths.py",
    ),
    mutant(
        "late-is-a-crash",
        "a job for which its process was ended at its limit is charged a crash, and its policy is not asked",
        ("runtime/deaths.py", "                return Blame(timed_out=late)", "                return Blame(crashed=[job.job_id for job in late])"),
        faults="test_kill.py test_deaths.py",
    ),
    mutant(
        "settler-gives-up",
        "outcomes that the carrier could not take are dropped",
        ("runtime/settler.py", "                pause = self._loop.failed(error)\n", "                return [SettleResult(item.lease.job_id, applied=True) for item in items]\n                pause = self._loop.failed(error)\n"),
        faults="test_redis.py",
    ),
    mutant(
        "settler-forgets-some",
        "an outcome that comes while a call is under way is sent with the next one only, if there is any",
        ("runtime/settler.py", "        while self._items:\n            items, self._items", "        if self._items:\n            items, self._items"),
        ("runtime/settler.py", "exc_info=task.exception())\n        self._flush()", "exc_info=task.exception())"),
        faults="test_plans.py test_drain.py",
    ),
    mutant(
        "keeper-sleeps",
        "a worker without a supervisor does not keep its lease",
        ("runtime/keeper.py", "    if holds:", "    if False:"),
        faults="test_unsupervised.py",
    ),
    mutant(
        "places-leak",
        "every place that a job took stays taken",
        ("runtime/demand.py", "        self._held[queue] -= 1\n        self.held -= 1", "        self._held[queue] -= 1"),
        faults="test_drain.py",
    ),
    mutant(
        "first-carrier-only",
        "what a dead worker held goes back on the first of its carriers alone",
        ("runtime/handback.py", "in enumerate(hello.carriers)", "in enumerate(hello.carriers[:1])"),
        faults="test_carriers.py",
    ),
    mutant(
        "all-lanes-lost",
        "a lease that was lost on one carrier stops the runs of all",
        ("runtime/lane.py", "        for run in list(self.runs.values()):\n            run.interrupt(Stop.LOST)",
         "        for run in self._runners.running:\n            run.interrupt(Stop.LOST)"),
        faults="test_carriers.py",
    ),
    mutant(
        "dead-by-drain",
        "what a drain cuts off is put into the dead-letter state",
        ("runtime/outcomes.py", "                # Lost: then the release is superseded, and recorded as that.\n                return Released()",
         "                return Failed()"),
        faults="test_drain.py",
    ),
)  # fmt: skip
