"""What is kept of a migration: told by its commands, added up, bounded, forgotten; and what is said of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from msgspec.structs import replace

from headway import Headway
from headway.errors import BrokerUnavailableError, CodecError
from headway.migrate import keeping
from headway.migrate.found import FoundState
from headway.migrate.keeping import (
    KEPT_MS,
    LISTED,
    MAX_BYTES,
    MAX_MIGRATIONS,
    change_migration,
    document_of,
    fitting,
    list_migration,
    read_migration,
    read_migrations,
)
from headway.migrate.merging import Glance, Stays, begun, merged, told
from headway.migrate.progress import Progress
from headway.migrate.standing import MigrationState, state_of
from headway.migrate.status import (
    MAX_ROWS,
    MAX_RUNS,
    OTHERS,
    Command,
    Migration,
    MigrationExample,
    MigrationReason,
    MigrationTrouble,
    Outcome,
    Row,
    Run,
    Verdict,
    migration_id,
    name_of,
    with_run,
    words_of,
)
from headway.migrate.telling import Telling, about
from headway.migrate.viewing import view
from headway.testing import FakeClock
from tests.unit import memory_source
from tests.unit.memory_source import PATH, MemorySource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from headway.brokers.base import ControlStore
    from headway.migrate.source import Source
    from tests.unit.cli_shop import Shop

HOSTILE: Final = '"><script>alert(1)</script>\u202e\ud800' + "x" * 10_000
WAITING: Final = FoundState.WAITING


def a_migration(number: int = 0, **fields: Any) -> Migration:
    return Migration(f"{number:016x}", "bullmq", "redis://old:6379/0", "bull", **fields)


def a_run(command: Command = Command.APPLY, **fields: Any) -> Run:
    return Run("r1", command, "amy@host", **{"started_ms": 1000, "seen_ms": 1000, **fields})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def app(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Headway]:
    app = Headway("shop", url=f"sqlite:///{tmp_path}/jobs.db", clock=clock)
    async with app:
        yield app


@pytest.fixture
async def control(app: Headway) -> ControlStore:
    control = app.carrier.capabilities.control
    assert control is not None
    return control


# --- added up -----------------------------------------------------------------------------------------------------


def test_what_two_commands_move_at_once_comes_to_one_sum() -> None:
    key = "mail", WAITING
    kept, last = a_migration(), {"a": Glance(), "b": Glance()}
    for name, moved in (("a", 10), ("b", 3), ("a", 25), ("b", 3), ("a", 25)):
        glance = Glance(moved={key: moved}, stays={key: Stays(left=2, refused=1, pending=4)})
        run = replace(a_run(), id=name)
        kept, last[name] = merged(kept, told(run, glance, 5000), glance, last[name], ["mail"]), glance
    [row] = kept.rows
    assert row == Row("mail", WAITING, moved=28, left=2, refused=1, pending=4)
    assert row.found == 35
    assert {one.id: one.moved for one in kept.runs} == {"a": 25, "b": 3}


def test_what_goes_back_is_not_moved_any_more_and_is_found_anew_by_the_next_apply() -> None:
    key = "mail", WAITING
    kept = a_migration(rows=(Row("mail", WAITING, moved=10, refused=1), Row("sms", WAITING, reverted=2)))
    kept = merged(kept, a_run(Command.REVERT), Glance(reverted={key: 4}), Glance(), ["mail"])
    assert (kept.rows[0].moved, kept.rows[0].reverted, kept.rows[0].found) == (6, 4, 11)
    again = begun(kept, replace(a_run(), id="r2"), ["mail"])
    assert again.rows == (Row("mail", WAITING, moved=6), Row("sms", WAITING, reverted=2))


def test_verify_counts_anew_for_its_own_queues() -> None:
    kept = a_migration(rows=(Row("mail", WAITING, moved=99), Row("sms", WAITING, moved=5)))
    verdict = Verdict(sound=True, at_ms=1, who="amy")
    glance = Glance(accounts=(Row("mail", WAITING, moved=7),), verdict=verdict)
    kept = merged(kept, a_run(Command.VERIFY), glance, Glance(), ["mail"])
    assert kept.rows == (Row("mail", WAITING, moved=7), Row("sms", WAITING, moved=5))
    assert kept.verdict == verdict


def test_rows_and_runs_are_bounded() -> None:
    glance = Glance(moved={(f"q{n:04}", WAITING): 1 for n in range(1000)})
    kept = merged(a_migration(), a_run(), glance, Glance(), [])
    assert len(kept.rows) <= MAX_ROWS
    assert kept.rows[-1].queue == OTHERS
    assert sum(row.moved for row in kept.rows) == 1000
    for n in range(40):
        kept = with_run(kept, replace(a_run(), id=str(n)))
    assert [one.id for one in kept.runs] == [str(n) for n in range(39, 39 - MAX_RUNS, -1)]


def test_a_hostile_source_fits_into_its_place() -> None:
    name, words = name_of(HOSTILE), words_of(HOSTILE)
    example = MigrationExample(name, name)
    big = a_migration(
        rows=tuple(Row(f"{n}{name}", WAITING, moved=n) for n in range(MAX_ROWS)),
        reasons=tuple(
            MigrationReason(name, WAITING, refused=True, why=words, count=1, examples=(example,) * 3)
            for _ in range(40)
        ),
        runs=tuple(
            replace(a_run(), id=str(n), stays=(MigrationTrouble(name, name, name, words),) * 10)
            for n in range(MAX_RUNS)
        ),
    )
    body = fitting(big)
    assert len(body) <= MAX_BYTES
    kept = json.loads(body)
    assert len(kept["rows"]) == MAX_ROWS
    assert kept["runs"][0]["more_stays"] in {0, 10}


# --- kept -----------------------------------------------------------------------------------------------------------


async def test_two_who_write_at_once_lose_nothing(control: ControlStore, clock: FakeClock) -> None:
    def more(before: Migration | None, now_ms: int) -> Migration:
        assert now_ms
        [row] = (before or a_migration(rows=(Row("mail", WAITING),))).rows
        return a_migration(rows=(replace(row, moved=row.moved + 1),))

    await asyncio.gather(*(change_migration(control, a_migration().id, more, clock) for _ in range(8)))
    stored = await read_migration(control, a_migration().id)
    assert stored is not None
    assert stored.migration.rows[0].moved == 8
    assert len(await control.control_history(document_of(a_migration().id))) == 1


async def test_a_lost_answer_is_not_counted_twice(control: ControlStore, clock: FakeClock) -> None:
    class Lossy:
        read_control = control.read_control

        async def write_control(self, *args: Any, **fields: Any) -> None:
            await control.write_control(*args, **fields)
            msg = "gone"
            raise BrokerUnavailableError(msg)

    lossy: Any = Lossy()
    await change_migration(lossy, a_migration().id, lambda *_: a_migration(words=("x",)), clock)
    stored = await read_migration(control, a_migration().id)
    assert stored is not None
    assert (stored.version, stored.migration.words) == (1, ("x",))


async def test_old_ones_are_forgotten_and_so_is_the_eleventh(control: ControlStore, clock: FakeClock) -> None:
    async def begin(number: int) -> None:
        one = a_migration(number, runs=(replace(a_run(), seen_ms=clock.now_ms()),))
        await change_migration(control, one.id, lambda *_: one, clock)
        await list_migration(control, one.id, clock.now_ms())

    for number in range(MAX_MIGRATIONS + 1):
        await begin(number)
        clock.advance(1000)
    kept = [one.migration.id for one in await read_migrations(control)]
    assert kept == [a_migration(n).id for n in range(MAX_MIGRATIONS, 0, -1)]
    forgotten = await control.read_control(document_of(a_migration(0).id))
    assert forgotten is not None
    assert forgotten.body == b""
    clock.advance(KEPT_MS)
    assert await read_migrations(control) == []
    await begin(0)  # the first one again
    assert [one.migration.id for one in await read_migrations(control)] == [a_migration(0).id]
    cleaned = await control.read_control(document_of(a_migration(5).id))
    assert cleaned is not None
    assert cleaned.body == b""


@pytest.mark.parametrize("body", [b"{", b'{"format": 9}', b"[]"])
async def test_a_damaged_one_is_said_and_does_not_hide_the_others(
    control: ControlStore, clock: FakeClock, body: bytes
) -> None:
    for number in (1, 2):
        one = a_migration(number)
        await change_migration(control, one.id, lambda *_, one=one: one, clock)
        await list_migration(control, one.id, clock.now_ms())
    await control.write_control(document_of(a_migration(1).id), body, expected=1)
    assert [one.migration.id for one in await read_migrations(control)] == [a_migration(2).id]
    with pytest.raises(CodecError, match="0000000000000001"):
        await read_migration(control, a_migration(1).id)
    await control.write_control(LISTED, body, expected=2)
    with pytest.raises(CodecError, match="list of migrations"):
        await keeping.read_migrations(control)


# --- told -----------------------------------------------------------------------------------------------------------


def source_of() -> Source:
    return cast("Source", MemorySource())


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("redis://amy:s3cret@old:6379/2?ssl_ca_certs=s3cret", "redis://old:6379/2"),
        ("mysql://amy:s3cret@db/jobs?password=s3cret", "mysql://db/jobs"),
        ("memory://s3cret@/?token=s3cret", "memory:///"),
    ],
)
def test_no_secret_of_the_source_is_kept(url: str, server: str) -> None:
    made = about(source_of(), url, ["--from", "memory"])
    assert made.server == server
    assert b"s3cret" not in fitting(made)
    assert made.id == migration_id("memory", server, "old") != migration_id("memory", server, "other")


async def test_a_run_tells_how_it_ends_and_one_that_dies_is_not_heard_of(
    app: Headway, control: ControlStore, clock: FakeClock
) -> None:
    migration = about(source_of(), "memory://old", ["--from", PATH])

    async def standing() -> tuple[MigrationState, Migration]:
        stored = await read_migration(control, migration.id)
        assert stored is not None
        return state_of(stored.migration, stored.now_ms), stored.migration

    async with Telling(app, migration, Command.APPLY, HOSTILE, ["mail"]) as telling:
        telling.glance = lambda: Glance(progress=Progress(5, 10, 2.0, 2.5), moved={("mail", WAITING): 5})
        for service in telling.services:
            async with asyncio.timeout(10):
                while not service.rounds:  # noqa: ASYNC110 - a round of the mechanism has no event
                    await asyncio.sleep(0.005)
        state, kept = await standing()
        assert (state, kept.rows[0].moved, kept.runs[0].rate) == (MigrationState.RUNNING, 5, 2.0)
        assert len(kept.runs[0].who) <= 100
        clock.advance(31_000)  # nobody has heard of it since
        assert (await standing())[0] is MigrationState.SILENT
        telling.glance = lambda: Glance(progress=Progress(9, 10, 0.0, None), moved={("mail", WAITING): 9})
    state, kept = await standing()
    assert (state, kept.rows[0].moved, kept.runs[0].ended_ms) == (MigrationState.MOVED, 9, clock.now_ms())
    for error, expected in (
        (BrokerUnavailableError("redis://old cannot be reached"), MigrationState.FAILED),
        (RuntimeError("s3cret"), MigrationState.FAILED),
        (asyncio.CancelledError(), MigrationState.STOPPED),
    ):
        with pytest.raises(type(error)):
            async with Telling(app, migration, Command.FORWARD, "amy", ["mail"]):
                raise error
        state, kept = await standing()
        assert state is expected
        assert "s3cret" not in str(kept)
    assert kept.runs[2].error == "redis://old cannot be reached"
    assert len(kept.runs) == 4


async def test_a_store_that_does_not_answer_fails_no_migration(app: Headway, caplog: Any) -> None:
    class Away:
        async def read_control(self, *_: Any, **__: Any) -> None:
            msg = "cut"
            raise BrokerUnavailableError(msg)

    telling = Telling(app, about(source_of(), "memory://old", ()), Command.APPLY, "amy", ["mail"])
    telling._control = Away()  # type: ignore[assignment]
    async with telling:
        done = True
    assert done
    assert "how this run ended is not kept with the jobs: cut" in caplog.text


# --- said -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "verdict", "state", "commands"),
    [
        (a_run(), None, "running", []),
        (a_run(seen_ms=-40_000), None, "silent", ["apply", "plan"]),
        (a_run(ended_ms=1, outcome=Outcome.STOPPED), None, "stopped", ["apply", "plan"]),
        (a_run(ended_ms=1, outcome=Outcome.FAILED, error="x"), None, "failed", ["apply", "plan"]),
        (a_run(ended_ms=1), True, "moved", ["verify", "plan"]),
        (a_run(Command.VERIFY, ended_ms=1), True, "verified", ["plan", "revert"]),
        (a_run(Command.VERIFY, ended_ms=1), False, "unsound", ["apply", "plan", "verify"]),
        (a_run(Command.REVERT, ended_ms=1), None, "reverted", ["apply", "verify"]),
    ],
)
def test_each_state_is_said_with_what_to_do_next(
    run: Run, verdict: bool | None, state: str, commands: list[str]
) -> None:
    words = ("--from", "bullmq", "--map", "my map.toml", "--app", "shop:app")
    rows = (Row("mail", WAITING, moved=5, refused=2),)
    found = None if verdict is None else Verdict(sound=verdict, at_ms=0, who="amy")
    migration = a_migration(words=words, runs=(run,), rows=rows, verdict=found)
    seen = view(keeping.StoredMigration(migration, 1, 2000))
    assert seen.state == state
    assert [one.command.split()[2] for one in seen.next] == commands
    assert all(one.command.endswith("--map 'my map.toml' --app shop:app") for one in seen.next)
    assert (seen.found, seen.moved, seen.refused) == (7, 5, 2)
    assert seen.said.endswith(".")
    assert "| mail | waiting | 7 | 5 |" in seen.report


# --- the commands ---------------------------------------------------------------------------------------------------

MAP: Final = """
[[job]]
name = "welcome"
task = "welcome"

[[job]]
name = "report"
task = "report"
"""


@pytest.fixture
def old(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> MemorySource:
    del shop
    Path("map.toml").write_text(MAP, encoding="utf-8")
    monkeypatch.setattr(memory_source, "present", MemorySource())
    monkeypatch.setenv("HEADWAY_MIGRATE_SOURCE", "memory://amy:s3cret@old")
    return memory_source.present


def test_the_commands_tell_and_status_shows(shop: Shop, old: MemorySource) -> None:
    given = ("--from", PATH, "--map", "map.toml", "--app", shop.app)
    assert "no migration" in shop.ok("migrate", "status", *shop.target)
    old.add("mails", *["welcome"] * 5, "unknown")
    old.add("mails", "report", args=(1, 2, 3))
    assert shop.run("migrate", "apply", *given, "--yes").exit_code == 1  # one is refused
    [seen] = shop.json("migrate", "status", *shop.target)["migrations"]
    assert (seen["state"], seen["server"], seen["kind"]) == ("moved", "memory://old", "memory")
    assert (seen["found"], seen["moved"], seen["left"], seen["refused"]) == (7, 5, 1, 1)
    refused = next(one for one in seen["reasons"] if one["refused"])
    assert (refused["count"], refused["examples"][0]["name"]) == (1, "report")
    assert seen["run"]["command"] == "apply"
    assert "@" in seen["run"]["who"]
    assert shop.run("migrate", "verify", *given).exit_code == 0
    text = shop.ok("migrate", "status", "--watch", "--report", "report.md", *shop.target)
    assert "All is accounted for in the queue that was counted" in text
    assert "next: headway migrate revert --from tests.unit.memory_source:make --map map.toml" in text
    assert "| mails | waiting | 7 | 5 |" in Path("report.md").read_text(encoding="utf-8")
    shop.ok("migrate", "revert", *given, "--yes")
    [seen] = shop.json("migrate", "status", *shop.target)["migrations"]
    assert (seen["state"], seen["moved"], seen["reverted"]) == ("reverted", 0, 5)
    assert [one["command"] for one in seen["runs"]] == ["revert", "verify", "apply"]
    assert "s3cret" not in json.dumps(seen)


def test_a_command_that_fails_in_the_middle_is_said(shop: Shop, old: MemorySource) -> None:
    given = ("--from", PATH, "--map", "map.toml", "--app", shop.app)
    old.add("mails", *["welcome"] * 5)
    old.add("sms", *["welcome"] * 5)
    old.fails_after = 7
    assert shop.run("migrate", "apply", *given, "--yes").exit_code == 1
    result = shop.run("migrate", "status", *shop.target)
    assert result.exit_code == 1
    assert (
        "apply failed: memory://old cannot be reached. No job is lost: the same command goes on."
        in result.output
    )
    old.fails_after = None
    shop.ok("migrate", "apply", *given, "--yes")
    [seen] = shop.json("migrate", "status", *shop.target)["migrations"]
    assert (seen["moved"], seen["pending"], seen["runs"][1]["moved"]) == (10, 0, 5)
