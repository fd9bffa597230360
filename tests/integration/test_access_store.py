"""API keys and the audit log lie in SQLite or PostgreSQL: one suite for both."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway.server.access.audit import Audit
from headway.server.access.caller import Caller, Role, Scope
from headway.server.access.keyring import FRESH_MS, Keyring
from headway.server.store.database import Database, StoreError
from headway.testing import FakeClock
from tests.integration.records_place import PLACES, place
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return place(request, tmp_path)


@pytest.fixture
async def databases(url: str, namespace: str) -> AsyncIterator[list[Database]]:
    """Those of two servers of one app, and that of another app."""
    made = [Database(url, name) for name in (namespace, namespace, f"{namespace}-other")]
    try:
        await asyncio.gather(*(one.open() for one in made))  # all make the tables at the same time
        yield made
    finally:
        for one in made:
            await one.close()


async def test_a_key_is_good_in_every_server_of_its_app_until_it_is_revoked(
    databases: list[Database],
) -> None:
    clock = FakeClock()
    first, second, other = (Keyring(one, clock) for one in databases)
    scope = Scope(queues=("mail",), tasks=("send",))
    expires = clock.now_ms() + 3_600_000
    text, made = await first.create("ci", Role.OPERATE, by="test", scope=scope, expires_ms=expires, rate=7)
    found = await second.find(text)
    assert found == made
    assert (await other.find(text), await other.list(), await other.any()) == (None, [], False)
    assert await second.get("ci") == await second.get(made.id) == await second.get(made.prefix) == made

    newer, _ = await second.rotate(made, grace_ms=60_000)
    clock.advance(FRESH_MS)
    assert await first.find(text) is not None
    assert await first.find(newer) is not None
    clock.advance(60_000)
    assert await first.find(text) is None

    rotated = await first.find(newer)
    assert rotated is not None
    await first.revoke(rotated)
    clock.advance(FRESH_MS)
    assert await second.find(newer) is None
    assert [one.revoked_ms is not None for one in await second.list()] == [True]
    assert not await second.any()


async def test_when_a_key_was_used_last_is_kept_and_never_goes_back(databases: list[Database]) -> None:
    clock = FakeClock()
    first, second, _ = (Keyring(one, clock) for one in databases)
    text, _ = await first.create("ci", Role.READ, by="test")
    await first.find(text)
    used = clock.now_ms()
    clock.advance(5000)
    await second.find(text)
    await second.keep_uses()
    await first.keep_uses()
    assert [one.last_used_ms for one in await first.list()] == [used + 5000]


async def test_changes_are_kept_in_their_order_with_any_text(databases: list[Database]) -> None:
    clock = FakeClock()
    first, second, other = (Audit(one, clock) for one in databases)
    caller = Caller("key ci (8fk2m1q0)", Role.ADMIN)
    for number in range(3):
        await first.note(caller, "jobs.cancel", f"job {number}", before={"text": "a\0b ☃"}, after=[number])
    page = await second.read(after=None, limit=2, who=None, act="jobs.cancel", subject=None)
    assert [one.subject for one in page.entries] == ["job 2", "job 1"]
    rest = await second.read(after=page.cursor, limit=2, who=caller.who, act=None, subject=None)
    assert [(one.subject, one.after) for one in rest.entries] == [("job 0", [0])]
    assert (first.trouble, rest.cursor) == ("", None)
    assert (await other.read(after=None, limit=2, who=None, act=None, subject=None)).entries == []


async def test_a_database_that_is_not_there_is_said_without_its_password() -> None:
    database = Database(f"postgresql://headway:s3cret@127.0.0.1:{free_port()}/headway", "shop")
    with pytest.raises(StoreError) as failed:
        await database.open()
    assert "s3cret" not in str(failed.value)
