from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest
from click import unstyle
from hypothesis import given
from hypothesis import strategies as st

from headway.cli.output import Column, json_text, printable, table
from headway.cli.render import iso, job_fields, plain, progress_text, relative, span, why_text
from headway.cli.watch import ChangedFiles
from headway.codec import encode_history
from headway.job import AttemptError, JobRecord, JobState, new_job_id

if TYPE_CHECKING:
    from pathlib import Path


def _plain(lines: list[str]) -> list[str]:
    return [unstyle(line) for line in lines]


def test_columns_are_aligned() -> None:
    lines = table(
        [Column("name"), Column("n", right=True), Column("x")], [["a", "1", "z"], ["longer", "100", ""]]
    )
    assert _plain(lines) == ["NAME      N  X", "a         1  z", "longer  100"]


def test_the_widest_columns_are_cut_to_the_width() -> None:
    lines = table([Column("id"), Column("text")], [["abc", "x" * 100]], width=20)
    assert _plain(lines)[1] == "abc  " + "x" * 14 + "…"


def test_a_column_that_tells_most_is_cut_last() -> None:
    columns = [Column("a"), Column("why", least=20)]
    _, line = _plain(table(columns, [["a" * 30, "w" * 30]], width=35))
    assert line == "a" * 12 + "…" + "  " + "w" * 19 + "…"
    _, line = _plain(table(columns, [["a" * 30, "w" * 30]], width=20))
    assert line == "aaaaaaa…  wwwwwwwww…", "then it is as the others"


@given(
    rows=st.lists(st.lists(st.text(max_size=60), min_size=3, max_size=3), max_size=5),
    width=st.integers(min_value=30, max_value=120),
)
def test_no_line_passes_the_width_where_the_columns_can_be_cut(rows: list[list[str]], width: int) -> None:
    lines = table([Column("a"), Column("b", right=True), Column("c")], rows, width=width)
    assert all(len(line) <= width for line in _plain(lines))
    assert len(lines) == len(rows) + 1


@pytest.mark.parametrize("text", ["\x1b[2J", "a\rb", "a\nb", "\u202eabc", "\x07"])
def test_stored_texts_cannot_play_tricks_on_the_terminal(text: str) -> None:
    assert printable(text).isprintable()
    assert len(table([Column("a")], [[text]])) == 2


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0ms"), (999, "999ms"), (1000, "1s"), (90_000, "2m"), (7_200_000, "2h"), (172_800_000, "2d")],
)
def test_spans_are_short(milliseconds: int, text: str) -> None:
    assert span(milliseconds) == text
    assert relative(10**12 - milliseconds, 10**12) == f"{text} ago"


def test_relative_to_come_and_unknown() -> None:
    assert relative(61_000, 1000) == "in 1m"
    assert relative(None, 0) == "-"


@pytest.mark.parametrize(
    ("instant_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z"),
        (-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z"),
    ],
)
def test_an_instant_of_any_year_has_a_text(instant_ms: int, text: str) -> None:
    assert iso(instant_ms) == text


_NUMBERS = st.integers() | st.integers(min_value=2**62, max_value=2**80)


@given(
    record=st.builds(
        JobRecord,
        id=st.just(new_job_id()),
        task=st.text(),
        queue=st.text(),
        state=st.sampled_from(JobState),
        priority=_NUMBERS,
        payload=st.just(b""),
        attempt=_NUMBERS,
        due_ms=_NUMBERS,
        expires_ms=_NUMBERS,
        started_ms=_NUMBERS,
        finished_ms=_NUMBERS,
        reason=st.text(st.characters()),
        progress=st.floats(),
        progress_message=st.text(),
        history=st.binary()
        | st.lists(
            st.builds(
                AttemptError,
                attempt=st.integers(0, 9),
                at_ms=st.integers(-(2**63), 2**63 - 1),
                type=st.text(),
            )
        ).map(encode_history),
    )
)
def test_no_record_is_so_odd_that_it_cannot_be_listed(record: JobRecord) -> None:
    json.loads(json_text(job_fields(record)))
    row = [
        relative(record.due_ms, 0), relative(record.finished_ms, 0), progress_text(record), why_text(record),
    ]  # fmt: skip
    assert len(table([Column(str(n)) for n in range(len(row))], [row])) == 2


def test_any_decoded_value_can_be_shown_as_json() -> None:
    assert plain({1: b"ab", "x": [1.5, None, {"y": True}]}) == {"1": "YWI=", "x": [1.5, None, {"y": True}]}


def test_changed_files_are_those_that_changed_since_the_last_look(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("a = 1", encoding="utf-8")
    changed = ChangedFiles()
    assert changed([str(one)]) == []
    assert changed([str(one), str(two)]) == []
    _age(one, -1)
    assert changed([str(one)]) == [str(one)]
    assert changed([str(one)]) == []
    two.write_text("b = 1", encoding="utf-8")
    # Still watched although the broken app no longer lists it.
    assert changed([]) == [str(two)]
    one.unlink()
    assert changed([]) == [str(one)]


def test_a_file_that_changed_before_the_first_look_but_after_the_start_is_seen(tmp_path: Path) -> None:
    old, new = tmp_path / "old.py", tmp_path / "new.py"
    for file in (old, new):
        file.write_text("a = 1", encoding="utf-8")
    changed = ChangedFiles()
    _age(new, -5)
    assert changed([str(old), str(new)]) == [str(new)]
    # A module that came with that change was read by the worker that was started for it.
    later = tmp_path / "later.py"
    later.write_text("a = 1", encoding="utf-8")
    _age(later, 1)
    assert changed([str(old), str(new), str(later)]) == []


def _age(path: Path, seconds: int) -> None:
    """Make it as if the file had changed so long ago (negative: will have changed)."""
    when = time.time_ns() - seconds * 1_000_000_000
    os.utime(path, ns=(when, when))
