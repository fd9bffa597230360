"""Metrics are what happened: of a worker's processes, of a receiver, of an app; promtool and Prometheus read them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headway import Headway, Retry
from headway.errors import BrokerUnavailableError
from headway.figures import published
from headway.figures.gatherer import Gatherer
from headway.figures.histogram import histogram
from headway.figures.published import Published, Reader
from headway.figures.values import Counts, Figures, Row
from headway.records import Recorder, RecordStore
from headway.runtime.worker import Worker
from headway.telemetry.families import of_counts
from headway.telemetry.names import OF_APP, OF_FIGURES, OF_PROCESSES
from headway.telemetry.of_app import AppMetrics
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DEADLINE = 40.0
PROMTOOL = shutil.which("promtool")
PROMETHEUS = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(
    not (PROMTOOL and PROMETHEUS),
    reason="no prometheus and promtool here: Debian's package prometheus has both",
)
SHOP = """
import os
from headway import Headway, Retry

app = Headway(os.environ["SHOP"], url=os.environ["SHOP_URL"])


@app.task(name="good", queue="mail")
async def good() -> None: ...


@app.task(name="bad", queue="mail", retry=Retry.never())
async def bad() -> None:
    raise ValueError
"""


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (one.name, tuple(value for _, value in sorted(one.labels.items()) if value)): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def checked(text: str) -> str:
    """The text, of which promtool has nothing to say."""
    if PROMTOOL is not None:
        done = subprocess.run(
            [PROMTOOL, "check", "metrics"], input=text, text=True, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return text


def fetched(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
        return text


@contextmanager
def working(folder: Path, environ: Mapping[str, str]) -> Iterator[int]:
    """A worker of two processes; its port of metrics."""
    (folder / "shop_metrics.py").write_text(SHOP, encoding="utf-8")
    command = [sys.executable, "-c", "from headway.cli import main; main()", "worker", "shop_metrics:app"]
    worker = subprocess.Popen(
        [*command, "--processes", "2", "--concurrency", "3", "--metrics-port", "0", "--json"],
        cwd=folder,
        env=os.environ | environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert worker.stdout is not None
        yield json.loads(worker.stdout.readline())["metrics_port"]
    finally:
        worker.terminate()
        worker.communicate(timeout=DEADLINE)


@pytest.mark.timeout(120)
async def test_a_worker_tells_what_its_processes_did(tmp_path: Path, redis_url: str, namespace: str) -> None:
    environ = {"SHOP": namespace, "SHOP_URL": redis_url, "PYTHONPATH": str(tmp_path)}
    app = declared(namespace, redis_url)
    async with app:
        with working(tmp_path, environ) as port:
            jobs = [await app.find_task("good").enqueue() for _ in range(20)]
            jobs += [await app.find_task("bad").enqueue() for _ in range(3)]
            await asyncio.gather(*(job.result(timeout=DEADLINE) for job in jobs), return_exceptions=True)
            text, found = "", samples("")
            async with asyncio.timeout(DEADLINE):
                # Each process writes every few seconds.
                while found.get(
                    ("headway_process_jobs_succeeded_total", ("main", "mail", "good"))
                ) != 20 or not found.get(("headway_process_jobs_dead_total", ("main", "mail", "bad"))):
                    await asyncio.sleep(0.2)
                    text = await asyncio.to_thread(fetched, port)
                    found = samples(text)
            checked(text)
            assert found["headway_process_attempts_failed_total", ("main", "mail", "bad")] == 3
            assert found["headway_process_attempt_duration_seconds_count", ("main", "mail", "good")] == 20
            assert found["headway_processes", ()] == 2
            assert found["headway_process_places", ()] == 6
            assert found["headway_process_places_used", ()] == 0
            assert found["headway_process_connections", ()] >= 2
            assert found["headway_process_commands_total", ()] > 10
            assert {one.name for one in text_string_to_metric_families(text)} == {
                one.name.removesuffix("_total") for one in OF_PROCESSES
            }


@needs_prometheus
@pytest.mark.timeout(120)
async def test_a_real_prometheus_scrapes_a_worker(tmp_path: Path, redis_url: str, namespace: str) -> None:
    environ = {"SHOP": namespace, "SHOP_URL": redis_url, "PYTHONPATH": str(tmp_path)}
    app = declared(namespace, redis_url)
    async with app:
        with working(tmp_path, environ) as port:
            jobs = [await app.find_task("good").enqueue() for _ in range(20)]
            await asyncio.gather(*(job.result(timeout=DEADLINE) for job in jobs))
            await asyncio.to_thread(scraped, tmp_path, port, "headway_process_jobs_succeeded_total", 20)
    async with app:
        checked((await AppMetrics(app).text()).decode())


def scraped(folder: Path, port: int, metric: str, value: float) -> None:
    """A real Prometheus scrapes the port, and answers with the value."""
    program = PROMETHEUS
    assert program is not None
    config, listen = folder / "prometheus.yml", free_port()
    config.write_text(
        f"global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: shop\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n",
        encoding="utf-8",
    )
    server = subprocess.Popen(
        [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{listen}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(
                    f"http://127.0.0.1:{listen}/api/v1/query?query={metric}", timeout=5
                ) as answer:
                    result = json.load(answer)["data"]["result"]
            except OSError:
                result = []
            if [float(one["value"][1]) for one in result if one["metric"].get("task") == "good"] == [value]:
                return
            time.sleep(0.1)
        pytest.fail("Prometheus has no such metric")
    finally:
        server.terminate()
        server.wait(DEADLINE)


def declared(name: str, url: str, **settings: Any) -> Headway:
    app = Headway(name, url=url or None, **settings)

    @app.task(name="good", queue="mail")
    async def good() -> None: ...

    @app.task(name="bad", queue="mail", retry=Retry.never())
    async def bad() -> None:
        raise ValueError

    return app


async def test_of_an_app_all_is_told_that_its_carriers_records_and_routes_say(
    tmp_path: Path, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.app.counting.PAUSE", 0.05)
    app = declared(
        namespace,
        "",
        carriers={"main": redis_url, "file": f"sqlite:///{tmp_path}/jobs.db"},
        routes={"bulk": "file"},
        records=f"sqlite:///{tmp_path}/records.db",
    )
    store = RecordStore(app.settings.records, namespace=namespace)
    await store.upgrade()
    async with store, app, Recorder(app, store):
        metrics = AppMetrics(app, store)
        before = checked((await metrics.text()).decode())
        assert samples(before)["headway_carrier_up", ("file",)] == 1
        worker = Worker(app)
        running = asyncio.create_task(worker.run())
        jobs = [await app.find_task("good").enqueue() for _ in range(5)] + [
            await app.find_task("bad").enqueue()
        ]
        await asyncio.gather(*(job.result(timeout=DEADLINE) for job in jobs), return_exceptions=True)
        worker.stop()
        await running
        await app.find_task("good").enqueue()
        text, found = "", samples("")
        async with asyncio.timeout(DEADLINE):
            while found.get(("headway_jobs_enqueued_total", ("main", "mail", "good"))) != 6 or not found.get(
                ("headway_records_lag_seconds", ("main",))
            ):
                await asyncio.sleep(0.05)
                text = (await metrics.text()).decode()
                found = samples(text)
        checked(text)
        assert found["headway_jobs_succeeded_total", ("main", "mail", "good")] == 5
        assert found["headway_jobs_dead_total", ("main", "mail", "bad")] == 1
        assert found["headway_jobs", ("main", "mail", "ready")] == 1
        assert found["headway_jobs", ("main", "mail", "failed")] == 1
        assert found["headway_oldest_ready_seconds", ("main", "mail")] >= 0
        assert found["headway_records_up", ()] == 1
        assert found["headway_records_gaps_total", ("main",)] == 0
        assert found["headway_routes_version", ()] == 0
        named = {one.name for one in text_string_to_metric_families(text)}
        assert named <= {one.name.removesuffix("_total") for one in OF_APP}
        again = samples((await metrics.text()).decode())
        assert again["headway_jobs_succeeded_total", ("main", "mail", "good")] == 5


async def test_the_spool_and_the_breakers_of_this_host_are_told(tmp_path: Path, namespace: str) -> None:
    app = declared(
        namespace,
        "redis://127.0.0.1:1/0",
        spool=f"sqlite:///{tmp_path}/spool.db",
        breaker_timeout=0.2,
        breaker_pause=60,
    )
    async with app:
        metrics = AppMetrics(app)
        for _ in range(3):
            await app.find_task("good").enqueue()
        async with asyncio.timeout(DEADLINE):
            while True:
                found = samples(checked((await metrics.text()).decode()))
                if found["headway_breakers_open", ("main",)]:
                    break
                await asyncio.sleep(0.02)
    assert found["headway_spool_jobs", ("main", "mail")] == 3
    assert found["headway_breakers_open", ("main",)] == 1
    assert found["headway_spool_bytes", ()] > 0
    nothing = ("headway_spool_parked_jobs", "headway_spool_flushed_total")
    assert [found[name, ()] for name in nothing] == [0, 0]


async def test_a_carrier_that_is_away_is_said_to_be(tmp_path: Path, namespace: str) -> None:
    app = declared(namespace, f"sqlite:///{tmp_path}/jobs.db")
    async with app:
        metrics = AppMetrics(app)

        async def away(*_: object) -> None:
            msg = "cut"
            raise BrokerUnavailableError(msg)

        app.carrier.counts = away  # type: ignore[method-assign, assignment]
        found = samples((await metrics.text()).decode())
    assert found["headway_carrier_up", ("main",)] == 0
    assert not [name for name, _ in found if name == "headway_jobs"]


def test_sums_do_not_shrink_when_a_process_ends_and_deltas_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gatherer = Gatherer("one")
    gatherer.enqueued("mail", "good", "main", 60_000)
    delta = gatherer.take()
    assert delta is not None
    mine, other = Published(tmp_path), Published(tmp_path)
    for one in (mine, other):
        for _ in range(2):
            one.add(delta.number, delta.figures)
        one.write({"commands": 5}, {"places": 3})
    reader = Reader(tmp_path)
    sums, processes = reader.read()
    assert (sums.figures.of().enqueued, sums.totals, sums.gauges, processes) == (
        2,
        {"commands": 10},
        {"places": 6},
        2,
    )
    monkeypatch.setattr(published, "_is_alive", lambda pid: False)
    for _ in range(2):
        sums, processes = reader.read()
        assert (sums.figures.of().enqueued, sums.totals, sums.gauges, processes) == (
            2,
            {"commands": 10},
            {},
            0,
        )
    (tmp_path / "broken.figures").write_bytes(b"\xff")
    assert reader.read()[1] == 0


def test_what_a_process_keeps_apart_is_bounded(tmp_path: Path) -> None:
    one = Published(tmp_path)
    rows = tuple(
        Row(0, f"q{number:05}", "t", "main", Counts(enqueued=1)) for number in range(published.MAX_KEYS + 50)
    )
    one.add(1, Figures(rows))
    one.add(2, Figures(rows))
    one.write({}, {})
    sums, _ = Reader(tmp_path).read()
    assert len(sums.figures.rows) == published.MAX_KEYS + 1
    assert sums.figures.of().enqueued == 2 * (published.MAX_KEYS + 50)


def test_buckets_are_those_of_the_figures() -> None:
    counts = Counts(latency=histogram([0.5, 3, 100, 5_000, 10_000_000]))
    [family] = [
        one
        for one in of_counts(OF_APP[: len(OF_FIGURES)], {("q", "t", "main"): counts})
        if one.name == "headway_queue_latency_seconds"
    ]
    buckets = {one.labels["le"]: one.value for one in family.samples if one.name.endswith("_bucket")}
    assert (buckets["0.001"], buckets["0.004"], buckets["0.128"], buckets["8.192"], buckets["+Inf"]) == (
        1,
        2,
        3,
        4,
        5,
    )
    [total] = [one.value for one in family.samples if one.name.endswith("_sum")]
    assert total == pytest.approx(10_005.1, rel=0.1)
