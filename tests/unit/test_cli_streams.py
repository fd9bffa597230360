"""What becomes of a command when nobody takes what it prints: one clear line at most, and never a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from headway.runtime.stderr import Stderr
from tests.unit.cli_commands import EVERY, LEAVES, has_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.cli_shop import Shop

HEADWAY: Final = f"{sys.executable} -c 'from headway.cli import main; main()'"
ROOT: Final = Path(__file__).parent.parent.parent
STREAMS: Final = {
    "closed": ">&- 2>>err",
    "all closed": "<&- >&- 2>&-",
    "full": ">/dev/full 2>>err",
    "both full": ">/dev/full 2>/dev/full",
    "latin-1": ">out 2>>err </dev/null",
    "gone": "2>>err | true",
}


def _on(streams: str, commands: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Run the commands on these streams; return the exit code of each and what it said on stderr."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("HEADWAY_")}
    environment.pop("PYTHONUNBUFFERED", None)  # as most people have it: what is printed stays in a buffer
    Path("commands").write_text(json.dumps(commands), encoding="utf-8")
    subprocess.run(
        [
            "bash",
            "-c",
            f"{sys.executable} -m tests.unit.cli_streams_driver commands results err {STREAMS[streams]}",
        ],
        env={**environment, "PYTHONIOENCODING": "latin-1", "PYTHONPATH": f"{ROOT}{os.pathsep}{Path.cwd()}"},
        timeout=250,
        check=False,
    )
    return [(code, said) for code, said in json.loads(Path("results").read_bytes())]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("streams", STREAMS)
def test_the_help_of_each_command_on_any_stdout(shop: Shop, streams: str) -> None:
    results = _on(streams, [[*path, "--help"] for path in EVERY])
    assert len(results) == len(EVERY)
    expected = {"full": 1, "both full": 1, "gone": 1}.get(streams, 0)
    for path, (code, said) in zip(EVERY, results, strict=True):
        assert (code, "Traceback" in said) == (expected, False), (path, said)
        assert len(said.splitlines()) == (1 if streams == "full" else 0), (path, said)


# Each with something to print, of a job with texts that no narrow encoding has.
PRINTING: Final = {
    ("jobs", "list"): "",
    ("jobs", "show"): "{job}",
    ("jobs", "retry"): "{job}",
    ("jobs", "cancel"): "{job}",
    ("jobs", "promote"): "{job}",
    ("jobs", "remove"): "{job}",
    ("queues", "list"): "",
    ("queues", "pause"): "reports",
    ("queues", "resume"): "reports",
    ("queues", "drain"): "reports --yes",
    ("queues", "clean"): "reports --yes",
    ("routes", "show"): "",
    ("routes", "set"): "reports main",
    ("routes", "history"): "",
    ("routes", "rollback"): "0",
    ("routes", "verify"): "",
    ("schedules", "list"): "",
    ("schedules", "pause"): "hourly",
    ("schedules", "resume"): "hourly",
    ("schedules", "run"): "hourly",
    ("schedules", "delete"): "nosuch",
    ("doctor",): "",
    ("workers", "list"): "",
    ("workers", "drain"): "nosuch",
    ("migrate", "status"): "",
    ("stats",): "",
    ("top",): "",
}


def test_every_command_that_prints_of_a_carrier_is_tried() -> None:
    elsewhere = {("jobs", "watch"), ("offload", "prune"), ("routes", "move"), ("routes", "drain")}
    assert PRINTING.keys() | elsewhere >= {
        path for path in LEAVES if has_option(path, "--namespace") and path[0] not in {"rollout", "spool"}
    }  # those left out at the end need two carriers, or a spool


@pytest.mark.timeout(300)
@pytest.mark.parametrize("streams", ["closed", "full", "latin-1", "gone"])
def test_results_on_any_stdout(shop: Shop, streams: str) -> None:
    job = shop.enqueue("report", "日本 é", "--key", "日本 é \x1b[2J")
    commands = [
        [*path, *PRINTING[path].format(job=job).split(), "--app", shop.app, *form]
        for n, path in enumerate(PRINTING)
        for form in [["--json"] if n % 2 else []]  # they print by the same few functions
    ]
    for words, (code, said) in zip(commands, _on(streams, commands), strict=True):
        assert (code in {0, 1}, "Traceback" in said) == (True, False), (words, said)
        # One for what could not be done, one for what could not be written.
        assert len(said.splitlines()) <= 2, (words, said)
        if streams == "full":
            assert (code, said.startswith("headway: ")) == (1, True), (words, said)


def test_json_on_a_narrow_stdout_is_json(shop: Shop) -> None:
    shop.enqueue("report", "x", "--key", "日本 😀")
    _on("latin-1", [["jobs", "list", "--json", "--app", shop.app]])
    text = Path("out").read_text(encoding="ascii")
    assert "\\u65e5\\u672c \\ud83d\\ude00" in text
    assert json.loads(text)["jobs"][0]["key"] == "日本 😀"


def test_ctrl_c_at_a_question_is_130(shop: Shop) -> None:
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        ["bash", "-c", f"exec {HEADWAY} queues drain reports --app {shop.app}"],
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        asked = b""
        while b"[y/N]" not in asked:  # bounded by the test's own time limit
            asked += os.read(ours, 1000)
        while (
            command.poll() is None
        ):  # again: one that comes right before Python reads is heard after the reading
            command.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(0.5)
        assert command.returncode == 130
    finally:
        command.kill()
        command.communicate()
        os.close(ours)


def test_a_reader_that_has_stopped_keeps_nobody_and_is_told_what_it_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", stream)
        write_stderr = Stderr().write
        line = "x" * 1000 + "\n"
        while write_stderr(line):
            pass
        assert [write_stderr(line) for _ in range(100)] == [False] * 100
        os.set_blocking(reading, False)
        os.read(reading, 1_000_000)
        assert write_stderr("here again\n")
        assert os.read(reading, 10_000).decode() == (
            "headway: 101 lines were lost: nothing took what is written to stderr\nhere again\n"
        )
    os.close(reading)


def test_a_reader_that_is_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = open(writing, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - a descriptor
    monkeypatch.setattr(sys, "stderr", stream)
    write_stderr = Stderr().write
    assert not write_stderr("hello\n")
    stream.close()
    assert not write_stderr("hello\n")
