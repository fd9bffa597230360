"""Every Python sample of the documentation runs as it stands, in an empty directory, on SQLite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.docs.samples import Sample, samples

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PYTEST_INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""
# The plugins of whoever follows the page. All that are installed here would take five times as long to start.
PLUGINS = (
    "--disable-plugin-autoload", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-p", "headway.testing.plugin",
)  # fmt: skip
SAMPLES = list(samples())


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("HEADWAY_", "PYTEST_"))}


def run(command: list[str], where: Path, beside: Sequence[str] = ()) -> None:
    """Run it; when it fails, show what it said, and what the worker beside it said."""
    answer = subprocess.run(
        command, cwd=where, env=environment(), capture_output=True, text=True, timeout=50, check=False
    )
    assert answer.returncode == 0, "\n".join([answer.stdout, answer.stderr, "its worker said:", *beside])


@contextmanager
def worker(app: str, where: Path) -> Iterator[list[str]]:
    """Run `headway worker` as the page says, from its ready line to its orderly end; give what it says."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from headway.cli import main; main()", "worker", app, "--processes", "1"],
        cwd=where, env=environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        for line in process.stderr or ():
            said.append(line)
            if "ready" in line:
                ready.set()
        ready.set()

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        assert ready.wait(30), said
        assert process.poll() is None, said
        yield said
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, said
    finally:
        process.kill()
        process.wait()
        listener.join(10)
        process.stderr.close()


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.runs], ids=lambda s: f"{s.page}:{s.line}")
def test_the_sample_runs(sample: Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Sentry's client imports eventlet where it is installed, as here; without this it says that it is deprecated.
    monkeypatch.setenv("EVENTLET_TESTS", "1")
    for name, code in sample.files.items():
        (tmp_path / name).write_text(code)
    if sample.is_test:
        (tmp_path / "test_sample.py").write_text(sample.code)
        (tmp_path / "pytest.ini").write_text(PYTEST_INI)
        run([sys.executable, "-m", "pytest", "-q", "-W", "error", *PLUGINS], tmp_path)
        return
    own = sample.name or "sample.py"
    (tmp_path / own).write_text(sample.code)
    if sample.needs_worker:
        with worker(f"{own.removesuffix('.py')}:app", tmp_path) as said:
            run([sys.executable, own], tmp_path, said)
    else:
        run([sys.executable, "-W", "error", own], tmp_path)


def test_what_does_not_run_says_why() -> None:
    for sample in SAMPLES:
        if not sample.runs:
            assert sample.reason.startswith("<!--"), (
                f"{sample.page}:{sample.line}: say why in a comment before it"
            )


def test_there_are_samples() -> None:
    assert {sample.page for sample in SAMPLES} >= {"README.md", "docs/how-to/test-your-tasks.md"}
