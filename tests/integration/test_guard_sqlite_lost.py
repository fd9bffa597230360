"""The SQLite file of a guard that is deleted, moved, replaced or robbed of its log while it is open."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from headway.errors import BrokerUnavailableError
from headway.guards.base import Entry
from headway.guards.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

NOW = 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(f"sqlite:///{path}", namespace="app")
    await opened.open()
    yield opened
    await opened.close()


async def _kept_until_refused(store: SqliteStore) -> set[str]:
    """Insert until that is refused; a loss must show within a second."""
    kept: set[str] = set()
    until = time.monotonic() + 5  # a second, and what a busy machine takes
    while time.monotonic() < until:
        key = f"late-{len(kept)}"
        try:
            assert await store.insert(_entry(key), now_ms=NOW) is None
        except BrokerUnavailableError as error:
            assert " was open" in str(error)  # noqa: PT017 - what came before it is wanted
            return kept
        kept.add(key)
    pytest.fail("nothing was refused")


def _entry(key: str) -> Entry:
    return Entry(key, 1, "mail", "running", NOW, None, b"x")


def _keys(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {row[0] for row in db.execute("SELECT key FROM guard")}


def _deleted(path: Path) -> None:
    path.unlink()


def _moved(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def _replaced(path: Path) -> None:
    path.with_name("new").touch()
    path.with_name("new").rename(path)


@pytest.mark.parametrize("befall", [_deleted, _moved, _replaced])
async def test_no_lease_is_taken_in_a_file_that_is_gone(
    path: Path, store: SqliteStore, befall: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    await store.insert(_entry("before"), now_ms=NOW)
    befall(path)
    with caplog.at_level(logging.WARNING):
        late = await _kept_until_refused(store)
        assert await store.insert(_entry("after"), now_ms=NOW) is None
    assert _keys(path) == {"after"}
    if befall is _moved:
        assert _keys(path.with_name("moved.db")) == {"before", *late}
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "while it was open" in line]) == 1
    assert len([line for line in said if "open again" in line]) == 1


async def test_a_log_that_is_removed_takes_no_entry_with_it(path: Path, store: SqliteStore) -> None:
    await store.insert(_entry("before"), now_ms=NOW)
    for name in ("guard.db-wal", "guard.db-shm"):
        path.with_name(name).unlink()
    late = await _kept_until_refused(store)
    until = time.monotonic() + 15
    again = {"after"}
    while again and time.monotonic() < until:
        with suppress(BrokerUnavailableError):  # until others have noticed as well
            await store.insert(_entry("after"), now_ms=NOW)
            again.clear()
        await asyncio.sleep(0.02)
    assert _keys(path) == {"before", *late, "after"}


async def test_a_store_that_cannot_be_opened_again_says_why_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    store = SqliteStore(f"sqlite:///{folder / 'guard.db'}", namespace="app")
    await store.open()
    (folder / "guard.db").unlink()
    folder.rename(tmp_path / "away")
    await _kept_until_refused(store)
    with pytest.raises(Exception, match="check that its folder exists"):
        await store.insert(_entry("k"), now_ms=NOW)
    folder.mkdir()
    assert await store.insert(_entry("k"), now_ms=NOW) is None
    await store.close()
    assert _keys(folder / "guard.db") == {"k"}
