"""The ledger of the flips finds what it must."""

from __future__ import annotations

from typing import Any

from headway.job import JobId, JobRecord, JobState
from tests.faults.flip_ledger import PROMPT_MS, judge


def _record(job: str, *, state: JobState = JobState.SUCCEEDED, finished_ms: int = 50) -> JobRecord:
    return JobRecord(
        id=JobId(job), task="quick", queue="q", state=state, priority=5, payload=b"", attempt=1, epoch=1,
        finished_ms=finished_ms,
    )  # fmt: skip


def _asks(tag: str, at_ms: int, **names: str) -> dict[str, Any]:
    return {"what": "ask", "tag": tag, "at_ms": at_ms, **names}


def _told(tag: str, job: str, at_ms: int, *, duplicate: bool = False) -> dict[str, Any]:
    return {"what": "told", "tag": tag, "id": job, "duplicate": duplicate, "at_ms": at_ms}


def _ran(job: str, tag: str, pid: int = 1) -> list[dict[str, Any]]:
    return [{"job": job, "tag": tag, "what": what, "pid": pid} for what in ("start", "end")]


def _wrong(
    *lines: dict[str, Any], found: dict[str, list[tuple[str, JobRecord]]], ran: list[dict[str, Any]]
) -> list[str]:
    return judge(found, lines, ran).wrong


def test_what_is_as_it_should_be_is_found_well() -> None:
    lines = [
        _asks("a", 0, key="k"),
        _told("a", "1", 5),
        _asks("b", 6, key="k"),
        _told("b", "1", 7, duplicate=True),
    ]
    ledger = judge({"1": [("east", _record("1"))]}, lines, _ran("1", "a"))
    assert (ledger.wrong, ledger.accepted, ledger.told_duplicates, ledger.open) == ([], 1, 1, 0)


def test_a_job_that_is_lost_or_on_two_carriers_or_not_at_its_end_is_named() -> None:
    both = [("east", _record("1")), ("west", _record("1"))]
    assert _wrong(_asks("a", 0), _told("a", "1", 1), found={"1": both}, ran=_ran("1", "a")) == [
        "1 is on east (succeeded), west (succeeded)"
    ]
    assert "a was told 1 (duplicate: False), which no carrier has" in _wrong(
        _asks("a", 0), _told("a", "1", 1), found={}, ran=[]
    )
    ready = [("east", _record("1", state=JobState.READY))]
    assert any("is ready on east" in one for one in _wrong(_asks("a", 0), found={"1": ready}, ran=[]))


def test_a_job_that_ran_twice_is_named_unless_its_process_was_killed() -> None:
    lines, twice = [_asks("a", 0), _told("a", "1", 1)], _ran("1", "a") + _ran("1", "a", pid=2)
    record = _record("1")
    found = {
        "1": [
            (
                "east",
                JobRecord(
                    **{**{name: getattr(record, name) for name in record.__struct_fields__}, "epoch": 2}
                ),
            )
        ]
    }
    assert "started 2 times and ended 2 times" in judge(found, lines, twice).wrong[0]
    ledger = judge(found, lines, twice, {1})
    assert (ledger.wrong, ledger.again) == ([], 1)


def test_two_jobs_of_a_key_and_a_unique_name_that_is_held_twice_are_named() -> None:
    found = {"1": [("east", _record("1"))], "2": [("west", _record("2"))]}
    ran = _ran("1", "a") + _ran("2", "b")
    keyed = [_asks("a", 0, key="k"), _told("a", "1", 1), _asks("b", 2, key="k"), _told("b", "2", 3)]
    assert _wrong(*keyed, found=found, ran=ran) == ["k has 2 jobs: 1, 2; its calls took [1, 1] ms"]
    alone = [_asks("a", 0, who="w"), _told("a", "1", 1), _asks("b", 2, who="w"), _told("b", "2", 3)]
    assert _wrong(*alone, found=found, ran=ran) == ["w: 2 was accepted 47 ms before 1 ended"]


def test_names_taken_by_calls_that_took_too_long_are_counted_apart() -> None:
    found = {"1": [("east", _record("1"))], "2": [("west", _record("2"))]}
    ran = _ran("1", "a") + _ran("2", "b")
    late = PROMPT_MS + 1
    slow = [_asks("a", 0, key="k"), _told("a", "1", late), _asks("b", 2, key="k"), _told("b", "2", 3)]
    ledger = judge(found, slow, ran)
    assert (ledger.late, ledger.wrong) == (1, [])
