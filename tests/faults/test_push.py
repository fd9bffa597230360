"""Push under faults, in small: `python -m tests.faults.push_run` does the same with thousands of jobs."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from headway.guards.base import Entry
from tests.faults.book import Book
from tests.faults.jobs import build, lines_of
from tests.faults.plans import draw
from tests.faults.push_history import end_of, judged
from tests.faults.push_place import GUARDS, LEASE, own_guard, place
from tests.faults.push_run import run_on
from tests.faults.push_witness import Chain
from tests.faults.soak_jobs import declare_soak

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("guard", GUARDS)
async def test_no_job_is_lost_or_completes_twice(
    guard: str, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with own_guard(guard, tmp_path) as url:
        run, ledger = await run_on(url, tmp_path, jobs=120, seed=7, pause=0.5, least_faults=4)
    figure(
        f"{guard}: {len(run.faults)} faults of receivers in {run.seconds:.0f} s; {'; '.join(ledger.table().splitlines())}"
    )
    assert not ledger.wrong, ledger.table()
    assert ledger.accepted == 120
    assert set(run.faults) >= {"kill", "freeze", "end"}
    assert ledger.epochs > 120  # or nothing went wrong that could have


async def test_what_is_delivered_twice_runs_once(tmp_path: Path, namespace: str) -> None:
    """While it runs, though that be longer than its lease; while it waits for its next attempt; when it is complete."""
    url = f"sqlite:///{tmp_path}/guard.db"
    async with place(tmp_path, namespace, url, faults="duplicates=1,seed=1", receivers=2) as where:
        app = declare_soak(build(namespace, **dict[str, Any](where.settings)))
        async with app:
            book = Book(app, dict)
            plans = [("slow", ()), ("long", (2 * LEASE + 1,)), ("patient", ())]
            for kind, args in [one for one in plans for _ in range(3)]:
                one = draw(
                    Random(1), book.tag(), lease=LEASE, harm=False, among=[kind if not args else "slow"]
                )
                one.args = args or one.args
                book.note(one)
            asked = list(book.asked.values())
            await book.ask(asked, "gather")
            await end_of(where, book)
            findings, further = await judged(app, where, book, harms=0)
            starts = Counter(line["tag"] for line in lines_of(where.effects) if line["what"] == "start")
    assert not findings, "\n".join(f"{one.tag} {one.job_id}: {one.text}" for one in findings)
    assert not further
    assert starts == {one.tag: 2 if one.task == "soak_patient" else 1 for one in asked}


def line(what: str, version: int, tag: str, data: str = "a") -> dict[str, object]:
    return {"what": what, "key": "k", "version": version, "tag": tag, "data": data}


def chain(*lines: dict[str, object]) -> Chain:
    made = Chain()
    for one in lines:
        made.add(one)
    return made


def entry(version: int, tag: str) -> Entry:
    return Entry("k", version, "q", tag, 0, None, b"")


def test_the_witness_finds_what_it_must() -> None:
    usual = [line("try", 1, "running"), line("yes", 1, "running"), line("try", 2, "succeeded")]
    assert chain(*usual, line("yes", 2, "succeeded")).faults(entry(2, "succeeded")) == []
    # Killed between its change and its line.
    assert chain(*usual).faults(entry(2, "succeeded")) == []
    twice = [*usual, line("yes", 2, "succeeded"), line("try", 3, "running"), line("yes", 3, "running")]
    assert chain(*twice, line("yes", 4, "succeeded")).faults(entry(4, "succeeded")) == [
        "version 3 leads from succeeded to running",
        "2 terminal transitions",
    ]
    both = [line("yes", 1, "running", "a"), line("yes", 1, "running", "b"), line("yes", 2, "failed")]
    assert chain(*both).faults(entry(2, "failed")) == ["version 1 was applied 2 times"]
    doubt = [line("try", 1, "running", "a"), line("try", 1, "failed", "b")]
    assert (
        chain(*doubt).faults(entry(2, "succeeded"))[0]
        == "version 1 may have been any of ['failed', 'running']"
    )
    assert chain(*doubt, line("no", 1, "failed", "b")).faults(entry(2, "succeeded")) == []
    assert chain().faults(entry(1, "running")) == ["0 terminal transitions"]
    assert chain(line("yes", 2, "failed")).faults(entry(2, "failed")) == ["version 1 was made by nobody"]
