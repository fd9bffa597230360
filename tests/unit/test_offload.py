"""Offloaded calls and results: stored, fetched, checked; what a store or a hostile reference can do wrong."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from headway import Headway, JobState, Retry
from headway.brokers.base import BrokerSettings, Capabilities
from headway.brokers.cloudtasks.target import Target
from headway.codec import REFERENCE, decode_call, decode_history, is_reference
from headway.config import Settings
from headway.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    CodecError,
    ConfigError,
    JobFailedError,
    PayloadMissingError,
    PayloadTooLargeError,
)
from headway.guards.document import PushedJob
from headway.job import Delivery, Failed, JobId, Lease, NewJob, Released, WorkerId, new_job_id
from headway.offload import payloads as offload_module
from headway.offload.blobs import Bucket, Folder, open_store
from headway.offload.payloads import Offload, Reference, read_reference, whole
from headway.offload.pruning import Pruned, prune_offloaded
from headway.runtime.executor import Executor
from headway.runtime.run import JobRun, Stop
from headway.runtime.threads import Threads
from headway.service import Services
from headway.testing import FakeClock, inline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headway.job import JobRecord

LARGE = "x" * 5_000
DAY = 86_400_000
NOW = 1_900_000_000_000  # 2030-03-17

app = Headway("offload", offload="/never/used/in/tests", offload_over=1_000, offload_limit=20_000)
ran: list[str] = []


@app.task(name="repeat", retry=Retry(max_attempts=2, initial=10, jitter=0))
async def repeat(text: str, times: int = 1) -> str:
    ran.append(text)
    return text * times


def _settings(url: str, **fields: Any) -> Settings:
    return Settings(offload=url, offload_over=10, **fields)


def _offload(url: object, clock: FakeClock | None = None, **fields: Any) -> Offload:
    return Offload(_settings(str(url), **fields), "shop", clock or FakeClock(NOW))


def _job(payload: bytes = b"\x10" + b"p" * 100) -> NewJob:
    return NewJob(new_job_id(), "t", "q", payload)


def _reference(name: str, size: int = 3) -> bytes:
    return bytes([REFERENCE]) + msgspec.msgpack.encode(Reference(name, size, b"d" * 32))


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _only(folder: Path, pattern: str) -> Path:
    (path,) = folder.rglob(pattern)
    return path


@pytest.fixture(params=["path", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {
        "path": str(tmp_path / "blobs"),
        "file": (tmp_path / "blobs").as_uri(),
        "memory": f"memory://{tmp_path.name}/blobs",
    }[request.param]


# --- the store ----------------------------------------------------------------------------------------------------


async def test_what_is_stored_is_fetched_and_small_payloads_stay(url: str) -> None:
    offload = _offload(url)
    small, large = _job(b"\x10small"), _job()
    first, second = await offload.shrunk([small, large], 1 << 20)
    assert first is small
    assert is_reference(second.payload)
    assert len(second.payload) < 150
    assert await whole(offload, second.payload) == large.payload
    assert await whole(offload, small.payload) == small.payload
    result = await offload.keep_result(large.id, b"\x10result")
    assert await offload.fetch(result) == b"\x10result"
    (day,) = await offload.days()
    assert day == "2030-03-17"
    assert [blob.job_id for blob in await offload.blobs(day)] == [large.id, large.id]


async def test_storing_the_same_call_again_changes_nothing(url: str) -> None:
    offload = _offload(url)
    job = _job()
    assert await offload.shrunk([job], 1 << 20) == await offload.shrunk([job], 1 << 20)
    assert len(await offload.blobs("2030-03-17")) == 1


async def test_a_carrier_that_takes_less_than_the_setting_sets_the_bound(tmp_path: Path) -> None:
    offload = Offload(Settings(offload=str(tmp_path)), "shop", FakeClock(NOW))
    (job,) = await offload.shrunk([_job()], 50)
    assert is_reference(job.payload)


async def test_apps_do_not_share_blobs_and_their_names_may_be_anything(tmp_path: Path) -> None:
    for name in ("shop", "../../shop", "a b/c", "ä"):
        offload = Offload(_settings(str(tmp_path / "blobs")), name, FakeClock(NOW))
        (job,) = await offload.shrunk([_job()], 1 << 20)
        assert await offload.fetch(job.payload) != b""
        assert len(await offload.days()) == 1
    assert len(_names(tmp_path / "blobs")) == 4
    assert _names(tmp_path) == ["blobs"]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        Folder(tmp_path).write("shop/day/name", b"data")
    assert list((tmp_path / "shop/day").iterdir()) == []


class _Folders:
    """A file system that has folders, as fsspec shows it; `root` may be missing."""

    def __init__(self, *folders: str) -> None:
        self.folders = set(folders)
        self.files: dict[str, bytes] = {}

    def pipe_file(self, path: str, value: bytes) -> None:
        if path.rpartition("/")[0] not in self.folders:
            raise FileNotFoundError(path)
        self.files[path] = value

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        self.folders.add(path)

    def exists(self, path: str) -> bool:
        return path in self.folders

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def test_folders_are_made_below_the_root_but_never_the_root_itself() -> None:
    system: Any = _Folders("/jobs")
    Bucket(system, "/jobs/").write("shop/day/x", b"1")
    assert system.files == {"/jobs/shop/day/x": b"1"}
    system = _Folders()
    with pytest.raises(NotADirectoryError, match="there is no bucket/jobs: create it"):
        Bucket(system, "bucket/jobs").write("shop/day/x", b"1")
    assert system.folders == set()


def test_stores_are_named_by_folder_or_by_scheme(tmp_path: Path) -> None:
    assert isinstance(open_store(str(tmp_path)), Folder)
    assert isinstance(open_store(tmp_path.as_uri()), Folder)
    assert isinstance(open_store("memory://x"), Bucket)
    for url in ("nope://bucket", "file://relative"):
        with pytest.raises(ConfigError, match="offload"):
            open_store(url)


async def test_a_missing_extra_is_named_when_the_app_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    shop = Headway("shop", url="sqlite:///never.db", offload="memory://x")
    with pytest.raises(ConfigError, match=r"headway\[offload\]"):
        async with shop:
            pass


# --- what can be wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../other/2030-03-17/00000000000000000000.call-0123456789abcdef",
        "2030-03-17/../../x",
        "2030-03-17/00000000000000000000.call-0123456789abcdeg",
        "2030-03-17/00000000000000000000.call-0123456789abcdef/..",
        "2030-03-17/00000000000000000000.call-0123456789abcdef\n",
        "2030-03-17\\x/00000000000000000000.call-0123456789abcdef",
        "٢٠٣٠-03-17/00000000000000000000.call-0123456789abcdef",
    ],
)
async def test_a_reference_names_nothing_but_blobs_of_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    offload = _offload(tmp_path)
    monkeypatch.setattr(Folder, "read", lambda *_: pytest.fail("the store was asked"))
    with pytest.raises(CodecError, match="damaged"):
        await offload.fetch(_reference(name))


@pytest.mark.parametrize("rest", [b"", b"\x93", b"\x93\xa0\xff\xc4\x00", b"x" * 1000, b"\xc1"])
async def test_a_damaged_reference_is_a_codec_error(tmp_path: Path, rest: bytes) -> None:
    with pytest.raises(CodecError):
        await _offload(tmp_path).fetch(bytes([REFERENCE]) + rest)


async def test_no_more_is_read_than_the_reference_says_nor_than_the_limit(tmp_path: Path) -> None:
    offload = _offload(tmp_path, offload_limit=1_000)
    with pytest.raises(CodecError, match="offload_limit is 1000"):
        await offload.fetch(_reference("2030-03-17/00000000000000000000.call-0123456789abcdef", 1_001))
    (job,) = await offload.shrunk([_job()], 1 << 20)
    file = _only(tmp_path, "*.call-*")
    for changed in (file.read_bytes() + b"more", b"\x10" + b"q" * 100, b""):
        file.write_bytes(changed)
        with pytest.raises(CodecError, match="size or hash differ"):
            await offload.fetch(job.payload)


async def test_a_reference_to_a_reference_is_not_followed(tmp_path: Path) -> None:
    offload = _offload(tmp_path)
    (job,) = await offload.shrunk([_job()], 1 << 20)
    outer = await offload.keep_result(job.id, job.payload)
    with pytest.raises(CodecError, match="has to be fetched"):
        decode_call(await offload.fetch(outer))


async def test_without_a_store_the_error_says_what_to_set() -> None:
    name = "2030-03-17/00000000000000000000.call-0123456789abcdef"
    with pytest.raises(CodecError, match=f"{name}: set `offload`"):
        await whole(None, _reference(name))


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (FileNotFoundError(2, "none"), PayloadMissingError),
        (PermissionError(13, "no"), BrokerRefusedError),
        (NotADirectoryError("no bucket"), BrokerRefusedError),
        (OSError(5, "input/output"), BrokerUnavailableError),
        (RuntimeError("a client's own error"), BrokerUnavailableError),
    ],
)
async def test_errors_of_the_store_name_it_and_hide_its_password(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]
) -> None:
    def fail(*_: object) -> bytes:
        raise raised

    monkeypatch.setattr(Bucket, "read", fail)
    name = "2030-03-17/00000000000000000000.call-0123456789abcdef"
    with pytest.raises(expected, match=name) as error:
        await _offload("memory://me:geheim@host/blobs").fetch(_reference(name))
    assert "geheim" not in str(error.value)
    assert "memory://me:***@host/blobs" in str(error.value)


async def test_a_store_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(offload_module, "_CALL_SECONDS", 0.05)
    monkeypatch.setattr(Folder, "write", lambda *_: let_go.wait(30))
    try:
        with pytest.raises(BrokerUnavailableError, match="no answer within"):
            await _offload(tmp_path).shrunk([_job()], 1 << 20)
    finally:
        let_go.set()


# --- jobs ---------------------------------------------------------------------------------------------------------


async def test_a_large_call_and_its_large_result() -> None:
    async with inline(app) as box:
        job = await repeat.enqueue(LARGE, 2)
        small = await repeat.enqueue("small")
        assert is_reference((await job.record()).raw.payload)
        assert not is_reference((await small.record()).raw.payload)
        assert await job.result() == LARGE * 2
        assert await small.result() == "small"
        record = (await job.record()).raw
        assert is_reference(record.result)
        seen = (await box.jobs(repeat))[0]
        assert (seen.args, seen.result) == ((LARGE, 2), LARGE * 2)


async def test_many_and_blocking_enqueues() -> None:
    async with inline(app) as box:
        handles = await app.enqueue_many([repeat.job(f"{n}{LARGE}") for n in range(20)])
        blocking = await asyncio.to_thread(repeat.sync.enqueue, LARGE)
        await box.run_until_idle()
        assert [await handle.result() for handle in handles] == [f"{n}{LARGE}" for n in range(20)]
        assert await asyncio.to_thread(blocking.result, 10) == LARGE
        assert all(is_reference(seen.record.payload) for seen in await box.jobs())


async def test_the_limit_of_offloaded_payloads_is_its_own() -> None:
    async with inline(app) as box:
        with pytest.raises(PayloadTooLargeError, match="raise offload_limit"):
            await repeat.enqueue("x" * 20_000)
        assert await box.jobs() == []
        job = await repeat.enqueue(LARGE, 5)
        with pytest.raises(JobFailedError, match="offload_limit is 20000"):
            await job.result()


async def test_when_the_store_fails_nothing_is_enqueued(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "input/output")

    async with inline(app) as box:
        monkeypatch.setattr(Folder, "write", fail)
        with pytest.raises(BrokerUnavailableError, match="offload store"):
            await repeat.enqueue(LARGE)
        with pytest.raises(BrokerUnavailableError, match="offload store"):
            await app.enqueue_many([repeat.job("small"), repeat.job(LARGE)])
        assert await box.jobs() == []


async def test_a_store_that_fails_once_costs_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = Folder.read, Folder.write
    failed = []

    def fail_once(kind: str) -> None:
        if kind not in failed:
            failed.append(kind)
            raise OSError(5, "input/output")

    def flaky_read(self: Folder, name: str, limit: int) -> bytes:
        fail_once("read")
        return read(self, name, limit)

    async with inline(app) as box:
        job = await repeat.enqueue(LARGE)
        monkeypatch.setattr(Folder, "read", flaky_read)
        await box.run_until_idle(raise_errors=False)
        assert await job.status() is JobState.SCHEDULED
        box.clock.advance(10_000)
        assert await job.result() == LARGE

        def flaky_write(self: Folder, name: str, data: bytes) -> None:
            fail_once("write")
            write(self, name, data)

        job = await repeat.enqueue("y" * 500, 5)
        monkeypatch.setattr(Folder, "write", flaky_write)
        await box.run_until_idle(raise_errors=False)
        assert await job.status() is JobState.SCHEDULED
        box.clock.advance(10_000)
        assert await job.result() == "y" * 2500
    assert failed == ["read", "write"]


async def test_a_missing_blob_ends_in_the_dead_letter_state_and_is_named(tmp_path: Path) -> None:
    async with inline(app, directory=tmp_path) as box:
        job = await repeat.enqueue(LARGE)
        ran.clear()
        file = _only(tmp_path, "*.call-*")
        file.unlink()
        assert await box.run_until_idle(skip_delays=True, raise_errors=False) == 2
        with pytest.raises(JobFailedError, match=file.name) as error:
            await job.result()
        assert error.value.error_type == "headway.errors.PayloadMissingError"
        assert ran == []


async def test_a_changed_blob_fails_the_job_at_once(tmp_path: Path) -> None:
    async with inline(app, directory=tmp_path) as box:
        job = await repeat.enqueue(LARGE)
        file = _only(tmp_path, "*.call-*")
        file.write_bytes(file.read_bytes().replace(b"xx", b"yy"))
        assert await box.run_until_idle(skip_delays=True, raise_errors=False) == 1
        with pytest.raises(JobFailedError, match="size or hash differ"):
            await job.result()


async def test_a_result_that_was_removed_is_said_to_be_missing(tmp_path: Path) -> None:
    async with inline(app, directory=tmp_path):
        job = await repeat.enqueue("y" * 500, 5)
        assert await job.wait() is JobState.SUCCEEDED
        file = _only(tmp_path, "*.result-*")
        file.unlink()
        with pytest.raises(PayloadMissingError, match=file.name):
            await job.result()


async def test_a_run_is_stopped_while_its_call_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Headway("shop", offload=str(tmp_path), offload_over=10)
    shop.task(name="repeat")(repeat.fn)
    assert shop.offload is not None
    (job,) = await shop.offload.shrunk([shop.find_task("repeat").job(LARGE).new], 1 << 20)
    asked, let_go = threading.Event(), threading.Event()

    def hang(*_: object) -> bytes:
        asked.set()
        let_go.wait(30)
        return b""

    monkeypatch.setattr(Folder, "read", hang)
    threads = Threads(1)
    run = JobRun(Delivery(Lease(job.id, WorkerId("w"), 1), "repeat", "q", job.payload, 5, 1, 0), _Silent())
    try:
        execution = asyncio.create_task(Executor(shop, threads=threads).run(run))
        assert await asyncio.to_thread(asked.wait, 10)
        run.interrupt(Stop.DRAIN)
        async with asyncio.timeout(10):
            assert await execution == Released()
    finally:
        let_go.set()
        threads.close()


@pytest.mark.parametrize("limit", [0.05, 6.0])
@pytest.mark.parametrize("of_call", [True, False])
async def test_the_fetch_counts_towards_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float, *, of_call: bool
) -> None:
    """Who pushes a job waits for its time limit and half a minute: a slow bucket must not take longer."""
    shop = Headway("shop", offload=str(tmp_path), offload_over=10, timeout=60 if of_call else limit)
    shop.task(name="repeat", retry=Retry.never())(repeat.fn)
    assert shop.offload is not None
    call = shop.find_task("repeat")
    new = (call.options(timeout=limit) if of_call else call).job(LARGE).new
    (job,) = await shop.offload.shrunk([new], 1 << 20)
    asked, let_go = threading.Event(), threading.Event()

    def hang(*_: object) -> bytes:
        asked.set()
        let_go.wait(30)
        return b""

    monkeypatch.setattr(Folder, "read", hang)
    threads = Threads(1)
    run = JobRun(Delivery(Lease(job.id, WorkerId("w"), 1), "repeat", "q", job.payload, 5, 1, 0), _Silent())
    executor = Executor(shop, threads=threads)
    services = Services(logging.getLogger("headway.test"), "test")
    services.start("time limits", executor.end_overdue)
    try:
        execution = asyncio.create_task(executor.run(run))
        assert await asyncio.to_thread(asked.wait, 10)
        run.deadline -= limit  # the time is over now, where it is looked at now and then
        async with asyncio.timeout(10):
            outcome = await execution
    finally:
        let_go.set()
        await services.stop()
        threads.close()
    assert isinstance(outcome, Failed)
    [error] = decode_history(outcome.history)
    assert error.type.endswith("JobTimeoutError")
    assert "was not fetched from the offload store within the limit" in error.message


@pytest.mark.parametrize("limit", [1.0, 6.0])
async def test_what_the_fetch_took_is_no_longer_left_for_the_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: float
) -> None:
    shop = Headway("shop", offload=str(tmp_path), offload_over=10, timeout=limit)

    @shop.task(name="waits", retry=Retry.never())
    async def waits(_text: str) -> None:
        await asyncio.Event().wait()

    assert shop.offload is not None
    (job,) = await shop.offload.shrunk([shop.find_task("waits").job(LARGE).new], 1 << 20)
    run = JobRun(Delivery(Lease(job.id, WorkerId("w"), 1), "waits", "q", job.payload, 5, 1, 0), _Silent())
    read = Folder.read

    def slow(*args: Any) -> bytes:
        run.started -= limit - 0.05  # as if it had taken that long
        return read(*args)

    monkeypatch.setattr(Folder, "read", slow)
    threads = Threads(1)
    executor = Executor(shop, threads=threads)
    services = Services(logging.getLogger("headway.test"), "test")
    services.start("time limits", executor.end_overdue)
    begun = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(10):
            assert isinstance(await executor.run(run), Failed)
    finally:
        await services.stop()
        threads.close()
    assert asyncio.get_running_loop().time() - begun < limit


class _Silent:
    def progress(self, _lease: Lease, fraction: float, message: str) -> None:
        raise AssertionError

    def log(self, _lease: Lease, level: str, message: str) -> None:
        raise AssertionError

    async def flush(self, _lease: Lease) -> None:
        pass

    def busy(self, _lease: Lease) -> bool:
        return False


# --- pruning ------------------------------------------------------------------------------------------------------


class _Jobs:
    """A carrier that knows some jobs."""

    def __init__(self, known: Sequence[str], **limits: Any) -> None:
        self.capabilities = Capabilities("test", **limits)
        self._known = frozenset(known)

    async def get(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        found: list[Any] = [object() if job_id in self._known else None for job_id in ids]
        return found


async def test_prune_removes_old_blobs_of_jobs_that_nobody_knows(url: str) -> None:
    clock = FakeClock(NOW)
    offload = _offload(url, clock)
    old = [_job(), _job()]
    await offload.shrunk(old, 1 << 20)
    clock.advance(9 * DAY)
    young = _job()
    await offload.shrunk([young], 1 << 20)
    jobs = _Jobs([old[0].id], pull=object())
    assert await prune_offloaded(offload, jobs, older_than_ms=8 * DAY, dry_run=True, clock=clock) == Pruned(
        1, 1
    )
    assert await prune_offloaded(offload, jobs, older_than_ms=8 * DAY, clock=clock) == Pruned(1, 1)
    assert [blob.job_id for blob in await offload.blobs("2030-03-17")] == [old[0].id]
    assert [blob.job_id for blob in await offload.blobs("2030-03-26")] == [young.id]
    assert await prune_offloaded(
        offload, _Jobs([], pull=object()), older_than_ms=8 * DAY, clock=clock
    ) == Pruned(1, 0)
    assert await offload.blobs("2030-03-17") == []


async def test_what_may_still_wait_in_a_push_carrier_stays(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    offload = _offload(tmp_path, clock)
    await offload.shrunk([_job()], 1 << 20)
    pushes = _Jobs([], max_delay_ms=30 * DAY)
    clock.advance(31 * DAY)
    assert await prune_offloaded(offload, pushes, older_than_ms=8 * DAY, clock=clock) == Pruned(0, 0)
    clock.advance(2 * DAY)
    assert await prune_offloaded(offload, pushes, older_than_ms=8 * DAY, clock=clock) == Pruned(1, 0)


async def test_prune_refuses_what_may_belong_to_an_enqueue_under_way(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="younger than a day"):
        await prune_offloaded(_offload(tmp_path), _Jobs([]), older_than_ms=DAY - 1)


async def test_a_reference_tells_its_carrier_what_the_call_does(tmp_path: Path) -> None:
    call = app.codec.encode_call("t", [LARGE], {}, {"traceparent": "00-" + "a" * 52}, 7_000)
    (job,) = await _offload(tmp_path).shrunk([_job(call)], 1 << 20)
    reference = read_reference(job.payload)
    assert (reference.timeout_ms, reference.traceparent) == (7_000, "00-" + "a" * 52)
    target = Target(BrokerSettings("shop", options=Settings(target="http://127.0.0.1:1/")))
    spec = target.spec(PushedJob(job), 0)
    assert (spec.deadline_ms, spec.headers["traceparent"]) == (37_000, reference.traceparent)
