"""`headway top`: what one look shows, how it fits a screen, and the terminal on which it goes on."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from headway.brokers.base import QueueCounts
from headway.cli.root import cli
from headway.cli.target import import_app
from headway.cli.top_screen import Look, cut, look_fields, screen, shares
from headway.codec import encode_history
from headway.figures.gatherer import Delta
from headway.figures.histogram import histogram
from headway.figures.values import Counts, Figures, Row
from headway.job import AttemptError, JobRecord, JobState, new_job_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.unit.cli_shop import Shop

NOW = 1_800_000_000_000


def _failure(message: str = "no such user") -> JobRecord:
    return JobRecord(
        id=new_job_id(), task="welcome", queue="email", state=JobState.FAILED, priority=5, payload=b"",
        history=encode_history([AttemptError(1, NOW, "ValueError", message, "")]), finished_ms=NOW - 60_000,
    )  # fmt: skip


def _look(queues: Sequence[QueueCounts], **more: Any) -> Look:
    values = {"recent": None, "seconds": 90.0, "workers": [], "failures": []} | more
    return Look("shop", NOW, queues, **values)


def _plain(lines: list[str]) -> list[list[str]]:
    return [re.split(r"\s{2,}", click.unstyle(line).strip()) for line in lines]


EMAIL = QueueCounts(
    "email", paused=False, counts={JobState.READY: 7, JobState.FAILED: 1}, oldest_ready_ms=NOW - 5000
)
REPORTS = QueueCounts("reports", paused=True, counts={JobState.RUNNING: 2})


def test_the_busiest_queue_first_with_its_pace_and_how_late_its_jobs_start() -> None:
    counts = Counts(succeeded=120, failed=30, latency=histogram([100.0] * 94 + [2000.0] * 6))
    look = _look([EMAIL, REPORTS], recent={"email": counts})
    lines = _plain(screen(look))
    assert lines[0] == ["shop", "2027-01-15T08:00:00.000Z"]
    assert lines[2] == [
        "QUEUE", "READY", "RUNNING", "SCHEDULED", "FAILED", "ENDED/MIN", "ERRORS/MIN", "WAIT P95", "OLDEST READY",
    ]  # fmt: skip
    assert lines[3] == ["reports", "paused", "0", "2", "0", "0", "0", "0", "-", "-"]
    assert lines[4] == ["email", "7", "0", "0", "1", "100", "20", "2s", "5s ago"]
    email = look_fields(look)["queues"][0]
    assert (email["ended_per_minute"], email["failed_per_minute"]) == (100.0, 20.0)
    assert email["latency_p95_ms"] == pytest.approx(2000, rel=0.1)


def test_where_nobody_counts_there_is_no_pace() -> None:
    assert _plain(screen(_look([EMAIL])))[3][5:] == ["-", "-", "-", "5s ago"]
    assert look_fields(_look([EMAIL]))["queues"][0]["ended_per_minute"] is None


def test_the_last_failures_say_why_and_play_no_tricks() -> None:
    job = _failure("\x1b[2Jgone\nfar")
    lines = screen(_look([], failures=[job]))
    assert _plain(lines)[-1] == [
        job.id,
        "welcome",
        "1m ago",
        "ValueError: \N{REPLACEMENT CHARACTER}[2Jgone far",
    ]
    assert "\x1b[2J" not in "".join(lines)


@pytest.mark.parametrize("height", [1, 5, 10, 24, 60])
def test_a_screen_is_as_high_and_as_wide_as_the_terminal_at_most(height: int) -> None:
    queues = [QueueCounts(f"queue-{n:02}", paused=False, counts={}) for n in range(40)]
    workers = [{"worker": f"host-{n}-abcdef", "queues": ["q"], "running": 1} for n in range(30)]
    lines = screen(
        _look(queues, workers=workers, failures=[_failure("x" * 300)] * 5),
        width=110,
        height=height,
        trouble="y" * 300,
    )
    assert len(lines) <= height
    assert height < 2 or click.unstyle(lines[1]) == "y" * 110
    assert max(len(click.unstyle(line)) for line in lines) <= 110
    if height >= 24:
        assert any(line.startswith("and ") for line in lines), "what is left out is counted"


def test_what_is_left_out_is_counted() -> None:
    assert cut(["head", "1", "2", "3"], 3) == ["head", "1", "and 2 more"]
    assert cut(["head", "1"], 2) == ["head", "1"]
    assert shares([40, 3, 10], 20) == [9, 3, 8]
    assert shares([1, 1], -3) == [0, 0]


def test_without_a_terminal_there_is_one_look(shop: Shop) -> None:
    shop.enqueue("welcome", "1")
    shop.fail("email")
    shop.enqueue("report", "q1")
    shop.claim("reports")
    _count(shop, "reports", Counts(succeeded=3))
    found = shop.json("top", *shop.target)
    assert found["app"] == "shop"
    reports = next(queue for queue in found["queues"] if queue["queue"] == "reports")
    assert reports["counts"]["running"] == 1
    assert reports["ended_per_minute"] > 0
    assert [worker["worker"] for worker in found["workers"]] == ["w"]
    assert [job["last_error"]["message"] for job in found["failures"]] == ["no such user"]
    shown = shop.ok("top", *shop.target)
    assert "ValueError: no such user" in shown
    assert "\x1b" not in shown
    by_name = shop.run("top", "--url", "sqlite:///headway.db", "--namespace", "shop", "--json")
    assert {queue["queue"] for queue in json.loads(by_name.stdout)["queues"]} == {"email", "reports"}


def _count(shop: Shop, queue: str, counts: Counts) -> None:
    async def write() -> None:
        async with import_app(shop.app) as app:
            (carrier,) = app.carriers.values()
            assert carrier.capabilities.figures is not None
            row = Row(app.clock.now_ms() // 60_000, queue, "report", "main", counts)
            await carrier.capabilities.figures.add_figures(Delta("one", 1, Figures((row,))))

    asyncio.run(write())


def test_all_carriers_of_an_app_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("east", "west")}
    routes = {"reports": {"west": 100}}
    (tmp_path / "top_shop.py").write_text(
        f"from headway import Headway\napp = Headway('shop', carriers={urls!r}, routes={routes!r})\n"
        "@app.task(queue='email')\ndef welcome() -> None: ...\n"
        "@app.task(queue='reports')\ndef report() -> None: ...\n"
        "welcome.sync.enqueue()\nreport.sync.enqueue()\napp.sync.close()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "top_shop", raising=False)
    run = CliRunner().invoke(cli, ["top", "--app", "top_shop:app", "--json"])
    assert {queue["queue"]: queue["counts"]["ready"] for queue in json.loads(run.output)["queues"]} == {
        "email": 1,
        "reports": 1,
    }


def test_it_does_not_look_all_the_time(shop: Shop) -> None:
    refused = shop.run("top", "--every", "1ms", *shop.target)
    assert (refused.exit_code, "must be 0.1 s or more" in refused.output) == (2, True)


@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal_it_goes_on_until_ctrl_c_and_leaves_the_screen_as_it_was(
    shop: Shop, colour: bool
) -> None:
    shop.enqueue("welcome", "1")
    shop.fail("email")
    keeper, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-c", "from headway.cli import main; main()", "top", "--every", "0.1", *shop.target],
        stdin=terminal, stdout=terminal, stderr=subprocess.PIPE,
        env=environment | {"TERM": "xterm"} | ({} if colour else {"NO_COLOR": "1"}),
    )  # fmt: skip
    os.close(terminal)
    try:
        said = _read_until(keeper, lambda text: text.count("\x1b[J") >= 2)
        process.send_signal(signal.SIGINT)
        said += _read_until(keeper, lambda text: "\x1b[?1049l" in text)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.communicate()
        os.close(keeper)
    assert said.startswith("\x1b[?1049h")
    assert "ValueError: no such user" in said
    assert ("\x1b[1m" in said) is colour


def _read_until(descriptor: int, enough: Any) -> str:
    text, deadline = "", time.monotonic() + 30
    while not enough(text):
        assert time.monotonic() < deadline, text
        if select.select([descriptor], [], [], 1.0)[0]:
            try:
                text += os.read(descriptor, 65536).decode()
            except OSError:  # nobody has the terminal open any more
                break
    return text
