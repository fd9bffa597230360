from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headway.demo.findings import find
from headway.demo.ledger import draw_up
from headway.demo.source import analyse, source_files
from headway.events import Event, EventKind
from headway.job import JobId, JobRecord, JobState, new_job_id

if TYPE_CHECKING:
    from collections.abc import Sequence

ENQUEUED, STARTED, SUCCEEDED = EventKind.ENQUEUED, EventKind.STARTED, EventKind.SUCCEEDED


class Run:
    """Jobs with the events that the store has of them."""

    def __init__(self) -> None:
        self.accepted: list[JobId] = []
        self.events: list[Event] = []
        self.records: list[JobRecord] = []

    def job(
        self,
        kinds: Sequence[EventKind],
        state: JobState | None = JobState.SUCCEEDED,
        *,
        answered: bool = True,
    ) -> None:
        job_id = new_job_id()
        if answered:
            self.accepted.append(job_id)
        for kind in kinds:
            self.events.append(Event(str(len(self.events)), kind, job_id, 1000 * len(self.events), "files"))
        if state is not None:
            self.records.append(
                JobRecord(
                    id=job_id,
                    task="analyse",
                    queue="files",
                    state=state,
                    priority=5,
                    payload=b"",
                    finished_ms=self.events[-1].at_ms if self.events and state.terminal else None,
                )
            )


def test_a_clean_run_adds_up() -> None:
    run = Run()
    run.job([ENQUEUED, STARTED, SUCCEEDED])
    run.job([ENQUEUED, STARTED, EventKind.RETRY, STARTED, SUCCEEDED])
    run.job([ENQUEUED, STARTED, EventKind.RECLAIMED, STARTED, SUCCEEDED])
    run.job([ENQUEUED, STARTED, SUCCEEDED], answered=False)  # from a schedule
    ledger = draw_up(run.accepted, run.events, run.records, measured="files")
    assert (ledger.accepted, ledger.completed, ledger.attempts, ledger.retries, ledger.recovered) == (
        4,
        4,
        6,
        1,
        1,
    )
    assert (ledger.lost, ledger.completed_twice, ledger.sound) == (0, 0, True)
    assert ledger.seconds == 14.0
    assert ledger.jobs_per_second == pytest.approx(4 / 14, abs=0.05)


@pytest.mark.parametrize("state", [None, JobState.READY, JobState.SCHEDULED, JobState.RUNNING])
def test_an_accepted_job_that_did_not_complete_is_lost(state: JobState | None) -> None:
    run = Run()
    run.job([ENQUEUED, STARTED, SUCCEEDED])
    run.job([ENQUEUED, STARTED], state)
    ledger = draw_up(run.accepted, run.events, run.records, measured="files")
    assert (ledger.completed, ledger.lost, ledger.sound) == (1, 1, False)


def test_a_job_that_the_store_never_heard_of_is_lost() -> None:
    run = Run()
    run.job([], None)
    assert draw_up(run.accepted, run.events, run.records, measured="files").lost == 1


def test_a_record_without_its_completion_is_lost() -> None:
    run = Run()
    run.job([ENQUEUED, STARTED])
    assert draw_up(run.accepted, run.events, run.records, measured="files").lost == 1


def test_two_completions_of_one_job_are_counted() -> None:
    run = Run()
    run.job([ENQUEUED, STARTED, SUCCEEDED, EventKind.FAILED])
    ledger = draw_up(run.accepted, run.events, run.records, measured="files")
    assert (ledger.completed_twice, ledger.sound) == (1, False)


def test_an_empty_run_is_sound() -> None:
    assert draw_up([], [], [], measured="files").sound


def test_a_file_is_counted() -> None:
    assert "ast.py" in source_files()
    assert not any("site-packages" in path for path in source_files())
    facts = analyse("ast.py")
    assert facts.parsed
    assert facts.functions > 50
    assert facts.classes > 5
    assert {"sys", "enum"} <= set(facts.imports)
    assert len(facts.sha256) == 64


def test_findings_of_no_results_are_zero() -> None:
    found = find([])
    assert (found.files, found.lines, found.longest, found.census) == (0, 0, [], None)
