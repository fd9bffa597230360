"""Where no folder may be written, temporary ones included: Redis needs none, SQLite says what it is that it cannot do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from tests.servers import RedisServer

SHUT: Final = "/proc"  # a folder where nobody may make a file, root included
HEADWAY: Final = [sys.executable, "-c", "from headway.cli import main; main()"]
SHOP: Final = """
from headway import Headway

app = Headway("shop")

@app.task(name="double")
def double(n: int) -> int: return 2 * n

@app.task(name="apart", run_in="process")
def apart(n: int) -> int: return 3 * n
"""
REFUSED: Final = (
    f"headway: sqlite:///{SHUT}/jobs.db: unable to open database file; the file cannot be opened: check that its "
    "folder exists and may be written\n"
)
# Python looks for a folder for temporary files in this list, whatever it is told by the environment.
NO_TMP: Final = f"""
import tempfile
tempfile._candidate_tempdir_list = lambda: [{SHUT!r}]
"""

pytestmark = pytest.mark.skipif(not Path(SHUT).is_dir(), reason="there is no /proc")


@pytest.fixture
def run(tmp_path: Path, namespace: str) -> dict[str, Any]:
    """Return how to start a command in a folder that cannot be written, with no other one for temporary files."""
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    (tmp_path / "sitecustomize.py").write_text(NO_TMP, encoding="utf-8")
    environment = {name: text for name, text in os.environ.items() if not name.startswith("HEADWAY_")}
    environment |= {
        "HEADWAY_APP": "shop:app",
        "HEADWAY_NAMESPACE": namespace,
        "HOME": SHUT,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(tmp_path),
        "TMPDIR": SHUT,
    }
    return {"cwd": SHUT, "env": environment, "text": True}


def test_with_redis_everything_works(run: dict[str, Any], redis_server: RedisServer) -> None:
    run["env"]["HEADWAY_URL"] = redis_server.url
    no_folder = subprocess.run(
        [sys.executable, "-c", "import tempfile; tempfile.TemporaryFile()"],
        **run, capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    assert "No usable temporary directory" in no_folder.stderr
    with subprocess.Popen([*HEADWAY, "worker", "--processes", "2"], **run, stderr=subprocess.PIPE) as worker:
        try:
            for task, result in (("double", "42"), ("apart", "63")):
                done = subprocess.run(
                    [*HEADWAY, "enqueue", task, "21", "--wait"],
                    **run, capture_output=True, timeout=40, check=False,
                )  # fmt: skip
                assert (done.returncode, done.stdout.strip()) == (0, result), done.stderr
            worker.send_signal(signal.SIGTERM)
            _, said = worker.communicate(timeout=20)
        finally:
            worker.kill()
    assert worker.returncode == 0
    assert "Traceback" not in said


@pytest.mark.parametrize("command", [["enqueue", "double", "1"], ["jobs", "list"]])
def test_with_sqlite_it_is_said_which_file_cannot_be_made(run: dict[str, Any], command: list[str]) -> None:
    run["env"]["HEADWAY_URL"] = "sqlite:///jobs.db"
    done = subprocess.run([*HEADWAY, *command], **run, capture_output=True, timeout=40, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == REFUSED


def test_a_worker_says_it_too_and_goes_on_trying(run: dict[str, Any]) -> None:
    run["env"]["HEADWAY_URL"] = "sqlite:///jobs.db"
    with subprocess.Popen([*HEADWAY, "worker"], **run, stderr=subprocess.PIPE) as worker:
        try:
            assert worker.stderr is not None
            said = [worker.stderr.readline() for _ in range(3)]
            assert REFUSED in said
            worker.send_signal(signal.SIGTERM)
            said.append(worker.communicate(timeout=20)[1])
        finally:
            worker.kill()
    assert worker.returncode == 0
    assert "Traceback" not in "".join(said)
