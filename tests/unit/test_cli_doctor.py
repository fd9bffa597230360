from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headway.cli.doctor import push, redis, sqlite, work
from headway.cli.doctor.finding import Finding, Level, size
from headway.cli.doctor.push import PUSH_CHECKS, PushFacts
from headway.cli.doctor.redis import REDIS_CHECKS, NodeHealth, RedisFacts
from headway.cli.doctor.sqlite import SQLITE_CHECKS, SqliteFacts
from headway.cli.doctor.sqlite_probe import file_system
from headway.cli.doctor.work import WORK_CHECKS, WorkFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli_shop import Shop

MIB = 1024 * 1024


@pytest.mark.parametrize("check", REDIS_CHECKS)
def test_a_healthy_redis_is_ok(check: Callable[[RedisFacts], Finding]) -> None:
    assert check(RedisFacts()).level is Level.OK


@pytest.mark.parametrize(
    ("check", "seen", "level"),
    [
        (redis.check_version, {"version": "6.2.0"}, Level.OK),
        (redis.check_version, {"product": "valkey", "version": "9.1.2"}, Level.OK),
        (redis.check_version, {"version": "6.0.16"}, Level.ERROR),
        (redis.check_version, {"version": "5.0"}, Level.ERROR),
        (redis.check_version, {"version": ""}, Level.WARN),
        (redis.check_policy, {"policy": "allkeys-lru"}, Level.ERROR),
        (redis.check_policy, {"policy": "volatile-ttl"}, Level.ERROR),
        (redis.check_policy, {"policy": ""}, Level.WARN),
        (redis.check_persistence, {"aof": True, "rdb": False}, Level.OK),
        (redis.check_persistence, {"aof": False, "rdb": True}, Level.WARN),
        (redis.check_persistence, {"aof": False, "rdb": None}, Level.WARN),
        (redis.check_persistence, {"aof": False, "rdb": False}, Level.WARN),
        (redis.check_clients, {"clients": 79, "max_clients": 100}, Level.OK),
        (redis.check_clients, {"clients": 80, "max_clients": 100}, Level.WARN),
        (redis.check_clients, {"clients": 80, "max_clients": None}, Level.OK),
        (redis.check_memory, {"used_memory": 10 * MIB, "max_memory": 0}, Level.OK),
        (redis.check_allocator, {"used_memory": 500 * MIB, "allocator": "jemalloc-5.3.0"}, Level.OK),
        (redis.check_allocator, {"used_memory": 100 * MIB, "allocator": "libc"}, Level.OK),
        (redis.check_allocator, {"used_memory": 500 * MIB, "allocator": "libc"}, Level.WARN),
        (redis.check_memory, {"used_memory": 79 * MIB, "max_memory": 100 * MIB}, Level.OK),
        (redis.check_memory, {"used_memory": 80 * MIB, "max_memory": 100 * MIB}, Level.WARN),
        (redis.check_memory, {"used_memory": 100 * MIB, "max_memory": 100 * MIB}, Level.ERROR),
        (redis.check_latency, {"latency_ms": 4.9}, Level.OK),
        (redis.check_latency, {"latency_ms": 5.1}, Level.WARN),
        (redis.check_clock, {"clock_skew_ms": -900.0}, Level.OK),
        (redis.check_clock, {"clock_skew_ms": -1001.0}, Level.WARN),
        (redis.check_clock, {"clock_skew_ms": 1001.0}, Level.WARN),
        (redis.check_nodes, {"layout": "cluster", "nodes": (NodeHealth("a:1"), NodeHealth("b:1"))}, Level.OK),
        (
            redis.check_nodes,
            {"layout": "sentinel", "nodes": (NodeHealth("a:1"), NodeHealth("b:1", "down"))},
            Level.WARN,
        ),
        (
            redis.check_nodes,
            {"layout": "cluster", "nodes": (NodeHealth("a:1", "cluster_state is fail"),)},
            Level.ERROR,
        ),
    ],
)
def test_redis(check: Callable[[RedisFacts], Finding], seen: dict[str, Any], level: Level) -> None:
    _is(check(replace(RedisFacts(), **seen)), level)


@pytest.mark.parametrize("check", SQLITE_CHECKS)
def test_a_healthy_file_is_ok(check: Callable[[SqliteFacts], Finding]) -> None:
    assert check(SqliteFacts(free_bytes=10**12, file_system="ext4")).level is Level.OK


@pytest.mark.parametrize(
    ("check", "seen", "level"),
    [
        (sqlite.check_library, {"library": (3, 35, 0)}, Level.OK),
        (sqlite.check_library, {"library": (3, 34, 9)}, Level.ERROR),
        (sqlite.check_file, {"open_error": "file is not a database", "opened": False}, Level.ERROR),
        (sqlite.check_file, {"writable": False}, Level.ERROR),
        (sqlite.check_file, {"exists": False}, Level.OK),
        (sqlite.check_identity, {"holders": (4711,)}, Level.WARN),
        (sqlite.check_identity, {"exists": False, "leftover": True}, Level.ERROR),
        (sqlite.check_rows, {"odd": ("job.due_ms 3",)}, Level.ERROR),
        (sqlite.check_journal, {"journal_mode": "delete"}, Level.ERROR),
        (sqlite.check_journal, {"journal_mode": "", "exists": False}, Level.OK),
        (sqlite.check_journal, {"log_bytes": 300 * MIB}, Level.WARN),
        (sqlite.check_integrity, {"damage": ("row 3 missing from index",)}, Level.ERROR),
        (sqlite.check_integrity, {"checked_whole": False}, Level.OK),
        (sqlite.check_synchronous, {"synchronous": "FULL"}, Level.OK),
        (sqlite.check_disk, {"free_bytes": None}, Level.OK),
        (sqlite.check_disk, {"free_bytes": 100 * MIB}, Level.WARN),
        (sqlite.check_disk, {"free_bytes": 900 * MIB, "file_bytes": 10_000 * MIB}, Level.WARN),
        (sqlite.check_file_system, {"file_system": "nfs4"}, Level.WARN),
        (sqlite.check_file_system, {"file_system": None}, Level.OK),
    ],
)
def test_sqlite(check: Callable[[SqliteFacts], Finding], seen: dict[str, Any], level: Level) -> None:
    _is(check(replace(SqliteFacts(), **seen)), level)


@pytest.mark.parametrize("check", PUSH_CHECKS)
def test_a_carrier_that_pushes_well_is_ok(check: Callable[[PushFacts], Finding]) -> None:
    assert check(PushFacts()).level is Level.OK


@pytest.mark.parametrize(
    ("check", "seen", "level"),
    [
        (push.check_api, {"api_problem": "denied"}, Level.ERROR),
        (push.check_api, {"api_ms": 201.0}, Level.WARN),
        (push.check_queues, {"queues": 0}, Level.WARN),
        (push.check_queues, {"queues": 0, "emulated": True}, Level.OK),
        (push.check_queues, {"queues": 0, "api_problem": "denied"}, Level.OK),
        (push.check_receiver, {"targets": ()}, Level.ERROR),
        (push.check_receiver, {"targets": ("https://a.example/", "http://b.example/")}, Level.WARN),
        (push.check_receiver, {"targets": ("http://127.0.0.1:8080/",)}, Level.OK),
        (push.check_proof, {"service_account": False}, Level.ERROR),
        (push.check_proof, {"service_account": False, "secret": True}, Level.OK),
        (push.check_guard, {"guard": ""}, Level.ERROR),
        (push.check_guard, {"guard_problem": "refused"}, Level.ERROR),
        (push.check_guard, {"guard": "sqlite"}, Level.WARN),
        (push.check_guard, {"guard": "sqlite", "emulated": True}, Level.OK),
        (push.check_guard, {"guard_ms": 51.0}, Level.WARN),
    ],
)
def test_push(check: Callable[[PushFacts], Finding], seen: dict[str, Any], level: Level) -> None:
    finding = check(replace(PushFacts(), **seen))
    assert finding.level is level
    assert bool(finding.advice) == (level is not Level.OK)


@pytest.mark.parametrize("check", WORK_CHECKS)
def test_an_app_without_jobs_is_ok(check: Callable[[WorkFacts], Finding]) -> None:
    assert check(WorkFacts()).level is Level.OK


@pytest.mark.parametrize(
    ("check", "seen", "level"),
    [
        (work.check_durations, {"sampled": 9, "longest": 79.0, "timeout": 100.0}, Level.OK),
        (work.check_durations, {"sampled": 9, "longest": 81.0, "timeout": 100.0}, Level.WARN),
        (work.check_lease, {"lease": 2.0, "longest": 100.0}, Level.WARN),
        (work.check_lease, {"lease": 15.0, "longest": 100.0}, Level.OK),
        (work.check_crashes, {"sampled": 9, "crashed": 1}, Level.WARN),
        (work.check_backlog, {"oldest_ready": 299.0}, Level.OK),
        (work.check_backlog, {"oldest_ready": 301.0}, Level.WARN),
        (work.check_dead_letters, {"dead": 1}, Level.WARN),
        (work.check_served, {"unserved": ("email",)}, Level.WARN),
    ],
)
def test_work(check: Callable[[WorkFacts], Finding], seen: dict[str, Any], level: Level) -> None:
    _is(check(replace(WorkFacts(), **seen)), level)


def _is(finding: Finding, level: Level) -> None:
    assert finding.level is level
    assert bool(finding.advice) == (level is not Level.OK), (
        "what is wrong comes with what to do, and nothing else does"
    )


def test_sizes() -> None:
    assert [size(n) for n in (0, 1023, 1536 * 1024, 3 * 1024**4)] == ["0 B", "1023 B", "2 MiB", "3.0 TiB"]


def test_the_file_system_is_that_of_the_closest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 22 0:5 / /mnt/my\\040share rw shared:1 - nfs4 host:/x rw\n"
        "damaged line\n",
        encoding="utf-8",
    )
    assert file_system(Path("/mnt/my share/deep"), mounts) == "nfs4"
    assert file_system(Path("/mnt"), mounts) == "ext4"
    assert file_system(Path("/mnt"), tmp_path / "none") is None


def _findings(text: str) -> dict[str, str]:
    return {finding["check"]: finding["level"] for finding in json.loads(text)["findings"]}


def test_doctor_of_a_file_that_is_in_use(shop: Shop) -> None:
    shop.enqueue("report", "q1")
    shop.fail("reports")
    found = _findings(shop.ok("doctor", *shop.target, "--json"))
    assert (found["journal-mode"], found["integrity"], found["dead-letter"]) == ("ok", "ok", "warn")
    assert "headway jobs list --state failed" in shop.ok("doctor", *shop.target)


def test_doctor_says_which_queue_nobody_serves(shop: Shop) -> None:
    """A ready job that is older than a second, and nobody runs one of its queue."""
    shop.enqueue("report", "q1")
    shop.enqueue("welcome", "1")
    shop.ok("queues", "pause", "email", *shop.target)
    said = ""
    while "jobs wait and none runs in reports" not in said:  # bounded by the test's own time limit
        said = shop.ok("doctor", *shop.target)
    assert "email" not in next(line for line in said.splitlines() if "served" in line)
    shop.claim("reports")
    assert "no queue has jobs that nobody takes" in shop.ok("doctor", *shop.target)


def test_doctor_makes_no_file(shop: Shop) -> None:
    assert (
        _findings(shop.ok("doctor", "--url", "sqlite:///new.db", "--namespace", "shop", "--json"))["file"]
        == "ok"
    )
    assert not Path("new.db").exists()


def test_doctor_finds_a_wrong_journal_mode(shop: Shop) -> None:
    with closing(sqlite3.connect("old.db")) as db:
        db.execute("CREATE TABLE t (x)")
    result = shop.run("doctor", "--url", "sqlite:///old.db", "--json")
    assert (result.exit_code, _findings(result.stdout)["journal-mode"]) == (1, "error")


def test_doctor_finds_damage(shop: Shop) -> None:
    shop.enqueue("welcome", "1")
    with closing(sqlite3.connect("headway.db")) as db:
        db.execute(
            "CREATE TABLE filler AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, hex(randomblob(20)) AS text FROM n"
        )
        db.execute("CREATE INDEX filler_text ON filler (text)")
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with Path("headway.db").open("r+b") as file:
        file.seek(Path("headway.db").stat().st_size // 2)
        file.write(b"\xff" * 20_000)
    result = shop.run("doctor", "--url", "sqlite:///headway.db", "--json")
    found = _findings(result.stdout)
    assert result.exit_code == 1
    assert "error" in {found["integrity"], found["file"]}


def test_doctor_of_a_file_that_is_no_database(shop: Shop) -> None:
    Path("notes.db").write_text("no database, " * 1000, encoding="utf-8")
    result = shop.run("doctor", "--url", "sqlite:///notes.db")
    assert result.exit_code == 1
    assert "file is not a database" in result.stdout


def test_doctor_of_a_redis_that_is_not_there(shop: Shop) -> None:
    result = shop.run("doctor", "--url", "redis://user:secret@127.0.0.1:1/0", "--json")
    assert (result.exit_code, _findings(result.stdout)) == (1, {"carrier": "error"})
    assert "secret" not in result.output
