"""The emulator's state file: what was committed is there again, and only one emulator has it."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from headway.emulator.errors import ApiError, Code
from headway.emulator.journal import Journal
from headway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


async def test_what_was_committed_is_there_again(path: Path) -> None:
    journal = Journal(path)
    await journal.open()
    assert journal.load("kind") == {}
    for name in ("b", "a", "c"):
        journal.put("kind", name, name.encode())
    journal.put("other", "a", b"1")
    await journal.commit()
    journal.drop("kind", "b")
    journal.put("kind", "a", b"new")
    await journal.close()  # writes what nobody waited for
    journal = Journal(path)
    await journal.open()
    assert list(journal.load("kind").items()) == [("a", b"new"), ("c", b"c")]
    assert journal.load("kind") == {}
    assert journal.load("other") == {"a": b"1"}
    await journal.close()


async def test_calls_of_one_turn_share_a_commit(path: Path) -> None:
    journal = Journal(path)
    await journal.open()
    commits: list[int] = []
    write = journal._write

    def counting(db: sqlite3.Connection, batch: object) -> str | None:
        commits.append(1)
        return write(db, batch)  # type: ignore[arg-type]  # as it came

    journal._write = counting  # type: ignore[method-assign]  # counts on the way

    async def one(number: int) -> None:
        journal.put("kind", str(number), b"")
        await journal.commit()

    await asyncio.gather(*(one(number) for number in range(200)))
    assert len(commits) <= 3
    await journal.close()


async def test_without_a_file_nothing_is_kept_and_nothing_waits() -> None:
    journal = Journal()
    await journal.open()
    journal.put("kind", "a", b"")
    await journal.commit()
    await journal.close()
    await journal.open()
    assert journal.load("kind") == {}


async def test_a_file_in_use_is_refused(path: Path) -> None:
    first = Journal(path)
    await first.open()
    with pytest.raises(ConfigError, match="another emulator uses it"):
        await Journal(path).open()
    await first.close()
    again = Journal(path)
    await again.open()
    await again.close()


async def test_another_applications_file_is_refused(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE own (a)")
    db.close()
    with pytest.raises(ConfigError, match="another application's"):
        await Journal(path).open()
    with pytest.raises(ConfigError, match="check that its folder exists"):
        await Journal(path.parent / "none" / "state.db").open()


async def test_a_file_that_cannot_be_written_stops_everything(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal(path)
    await journal.open()
    db = journal._db
    assert db is not None
    db.execute("PRAGMA query_only = 1")
    journal.put("kind", "a", b"")
    with pytest.raises(ApiError, match="cannot be written") as refused:
        await journal.commit()
    assert refused.value.code is Code.UNAVAILABLE
    assert journal.failure is not None
    with pytest.raises(ApiError, match="cannot be written"):
        await journal.commit()
    await journal.close()
    assert "cannot be written" in caplog.text
