"""arq in an environment of its own: it wants a redis client that is older than ours.

Made once from hashed requirements below `.bench/`, and anew when they change. Where no registry can be reached,
whoever asks is skipped with the reason. HEADWAY_ARQ=0.26 runs the same tests with the oldest version that jobs are
brought along from.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_FOLDER: Final = Path(__file__).parent
_REQUIREMENTS: Final = {
    "": [_FOLDER / "arq_requirements.txt"],
    "0.26": [_FOLDER / "arq_requirements.txt", _FOLDER / "arq_0_26_requirements.txt"],
}
_HOME: Final = _ROOT / ".bench"
_INSTALL_SECONDS: Final = 240.0


class ArqMissingError(Exception):
    """The environment cannot be made here; the message says why."""


def arq_python() -> Path:
    """Return the interpreter of an environment with arq, redis and pytest; skip the test where there is none."""
    try:
        return prepare_arq()
    except ArqMissingError as error:
        pytest.skip(f"arq cannot be installed here: {error}")


def prepare_arq() -> Path:
    """Make the environment if need be, one process at a time, and return its interpreter; ArqMissingError."""
    version = os.environ.get("HEADWAY_ARQ", "")
    folder = _HOME / "envs" / f"arq-tests{version}"
    folder.mkdir(parents=True, exist_ok=True)
    (_HOME / ".gitignore").write_text("*\n", encoding="utf-8")
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _prepared(folder, _REQUIREMENTS[version])


def _prepared(folder: Path, requirements: list[Path]) -> Path:
    python, stamp = folder / "bin" / "python", folder / ".pins"
    pins = b"".join(one.read_bytes() for one in requirements)
    wanted = hashlib.sha256(pins + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    if importlib.util.find_spec("uv"):
        _run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(folder))
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    else:
        _run(sys.executable, "-m", "venv", str(folder))
        install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    for one in requirements:
        _run(*install, "--require-hashes", "--no-deps", "-r", str(one))
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{command[0]}: {error}"
        raise ArqMissingError(msg) from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise ArqMissingError((lines or ["no output"])[-1][:300])
