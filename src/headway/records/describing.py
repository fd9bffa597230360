"""From a job as its carrier has it to the rows that are written; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headway.job import JobState
from headway.records.arguments import recorded_call
from headway.records.erring import RecordedError, attach, errors_of
from headway.records.terms import error_terms, terms_of
from headway.records.written import ExecutionRow, GroupRow, TermRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.app.task import Task
    from headway.brokers.base import LogLine
    from headway.job import JobRecord
    from headway.records.folding import Folding
    from headway.records.written import JobRow

_WAITING = frozenset({JobState.SCHEDULED, JobState.READY})


def describe(folding: Folding, record: JobRecord, logs: Sequence[LogLine] = ()) -> None:
    """Add what a job's record says, behind its events: what it is, its state now, the errors of its attempts."""
    row = folding.job(record.id)
    errors = errors_of(record.history)
    _state(folding, row, record)
    if errors:
        last = errors[-1]
        row.error_type, row.error_message = last.error.type, last.error.message
        row.error_group = last.kind.group
        words = error_terms(f"{last.error.type} {last.error.message}")
        folding.rows.terms += [TermRow(one, record.id) for one in words]
    run = folding.rows.executions.get((record.id, record.epoch))
    if run is not None:
        run.attempt = run.attempt or record.attempt
        run.due_ms = record.due_ms if run.ended_ms is None or record.state.terminal else run.due_ms
    attach(errors, folding.executions_of(record.id))
    for one in errors:
        _group(folding.rows.groups, one)
    if logs:
        row.logs = msgspec.json.encode([(one.at_ms, one.level, one.message) for one in logs]).decode()


def remember(folding: Folding, record: JobRecord) -> None:
    """Add the attempts that a record tells of, where no event did: the job came from elsewhere, or events were lost.

    The epochs of earlier attempts are not told: they are counted back from the present one.
    """
    errors = errors_of(record.history)
    _latest(folding, record, errors)
    known = {run.attempt for run in folding.executions_of(record.id)}
    for one in errors:
        number = one.error.attempt
        if number in known or not 0 < number <= record.attempt:
            continue
        epoch = max(1, record.epoch - (record.attempt - number))
        if (record.id, epoch) not in folding.rows.executions:
            _end(folding.execution(record.id, epoch), number, one.error.at_ms, "retry")
    attach(errors, folding.executions_of(record.id))


def _latest(folding: Folding, record: JobRecord, errors: Sequence[RecordedError]) -> None:
    if record.attempt < 1 or record.epoch < 1 or record.started_ms is None:
        return
    erred = next((one for one in errors if one.error.attempt == record.attempt), None)
    ran = record.state in {JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED}
    if record.state in _WAITING and erred is None:
        return  # handed back: that attempt was not used up
    run = folding.execution(record.id, record.epoch)
    run.started_ms, run.worker = run.started_ms or record.started_ms, run.worker or record.worker
    run.attempt = run.attempt or record.attempt
    if run.ended_ms is not None or record.state is JobState.RUNNING:
        return
    if not ran and erred is not None:
        _end(run, record.attempt, erred.error.at_ms, "retry")  # and then it was cancelled, or expired
    elif record.finished_ms is not None:
        _end(run, record.attempt, record.finished_ms, record.state.value)


def _end(run: ExecutionRow, attempt: int, at_ms: int, outcome: str) -> None:
    run.attempt, run.ended_ms, run.outcome = run.attempt or attempt, at_ms, outcome


def _state(folding: Folding, row: JobRow, record: JobRecord) -> None:
    row.state, row.finished_ms = record.state.value, record.finished_ms
    if record.withdrawn:
        # Here it ended, and goes on elsewhere: the records say so when the other carrier does.
        folding.told(record.id, record.finished_ms or 0, "moved", record.epoch, record.reason)
        row.state, row.finished_ms = ("scheduled" if record.due_ms else "ready"), None
    row.task, row.queue, row.priority = record.task, record.queue, record.priority
    row.attempt, row.epoch, row.crashes = record.attempt, record.epoch, record.crashes
    row.due_ms, row.expires_ms = record.due_ms, record.expires_ms
    row.started_ms = record.started_ms or row.started_ms
    row.worker = record.worker or row.worker
    row.key = record.key
    row.reason = "" if record.withdrawn else record.reason
    row.progress, row.progress_message = record.progress, record.progress_message


def describe_call(folding: Folding, record: JobRecord, tasks: Mapping[str, Task[Any, Any]]) -> None:
    """Add what the job is called with, as far as its task allows, and the words by which it is found."""
    row = folding.job(record.id)
    call = recorded_call(record, tasks)
    row.arguments = call.text
    row.headers = msgspec.json.encode(call.headers).decode() if call.headers else None
    row.tags = msgspec.json.encode(call.tags).decode() if call.tags else None
    terms = terms_of(call.arguments, call.search, call.headers, call.tags, record.key)
    folding.rows.terms += [TermRow(one, record.id) for one in terms]


def _group(groups: dict[str, GroupRow], one: RecordedError) -> None:
    at_ms, kind = one.error.at_ms, one.kind
    found = groups.get(kind.group)
    if found is None:
        groups[kind.group] = GroupRow(
            fingerprint=kind.group,
            type=kind.type,
            place=kind.place,
            message=one.error.message,
            first_ms=at_ms,
            last_ms=at_ms,
        )
        return
    found.first_ms = min(found.first_ms, at_ms)
    if at_ms >= found.last_ms:
        found.last_ms, found.message = at_ms, one.error.message
