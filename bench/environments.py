"""Each peer's own environment below `.bench/`: made once, made anew when its pins change."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bench.peer import Peer

ROOT: Final = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / ".bench"
_INSTALL_SECONDS: Final = 300.0


class EnvironmentMissingError(Exception):
    """The environment of a peer cannot be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a peer's interpreter is, where it is started, and which versions it has."""

    interpreter: str
    folder: Path
    versions: dict[str, str]


def prepare(peer: Peer) -> Environment:
    """Make the peer's environment if need be; EnvironmentMissingError when that fails."""
    HOME.mkdir(exist_ok=True)
    (HOME / ".gitignore").write_text("*\n", encoding="utf-8")
    return _node(peer) if peer.language == "node" else _python(peer)


def _python(peer: Peer) -> Environment:
    pins = ROOT / "bench" / "peers" / peer.folder / "requirements.txt"
    folder = HOME / "envs" / peer.folder
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = folder / ".pins"
    wanted = _digest(pins.read_bytes() + sys.version.encode())
    if _stamped(stamp) != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        if importlib.util.find_spec("uv"):
            _run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, str(folder))
            install: tuple[str, ...] = (
                sys.executable,
                "-m",
                "uv",
                "pip",
                "install",
                "--quiet",
                "--python",
                str(python),
            )
        else:
            _run(sys.executable, "-m", "venv", str(folder))
            install = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        _run(*install, "--no-deps", "-r", str(pins))
        stamp.write_text(wanted, encoding="utf-8")
    versions = dict(
        line.split("==", 1)
        for line in pins.read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    )
    return Environment(str(python), peer.tree or ROOT, {**versions, "python": sys.version.split()[0]})


def _node(peer: Peer) -> Environment:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        msg = "node and npm are not on PATH"
        raise EnvironmentMissingError(msg)
    source = ROOT / "bench" / "peers" / peer.folder
    folder = HOME / "envs" / peer.folder
    stamp = folder / ".pins"
    lock = source / "package-lock.json"
    wanted = _digest((source / "package.json").read_bytes() + (lock.read_bytes() if lock.exists() else b""))
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.suffix in {".js", ".json"}:
            shutil.copy2(file, folder / file.name)
    if _stamped(stamp) != wanted:
        shutil.rmtree(folder / "node_modules", ignore_errors=True)
        # Not `npm ci`: it refuses a lock file without other platforms' packages, which a registry need not have.
        _run(npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        stamp.write_text(wanted, encoding="utf-8")
    versions = {
        name: _package_version(folder / "node_modules" / name)
        for name in json.loads((source / "package.json").read_text(encoding="utf-8"))["dependencies"]
    }
    versions["node"] = _run(node, "--version").strip().removeprefix("v")
    return Environment(node, folder, versions)


def _package_version(folder: Path) -> str:
    return str(json.loads((folder / "package.json").read_text(encoding="utf-8"))["version"])


def _stamped(stamp: Path) -> str:
    return stamp.read_text(encoding="utf-8") if stamp.exists() else ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        msg = f"{command[0]}: {error}"
        raise EnvironmentMissingError(msg) from error
    if done.returncode:
        msg = f"{Path(command[0]).name} {' '.join(command[1:3])} failed: {_cause(done.stderr or done.stdout)}"
        raise EnvironmentMissingError(msg)
    return done.stdout


def _cause(output: str) -> str:
    """The line that names the cause: installers put their help behind it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if "error" in line.lower() and len(line) > len("npm error code XXXXXXXX")]
    return (named or lines or ["no output"])[0][:300]
