"""Where the demo of push keeps its jobs: an emulator of Cloud Tasks, a guard and ports of its own on this machine."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.config import MAIN
from headway.demo.place import Place, own_folder, own_settings

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

HOST: Final = "127.0.0.1"
CLOUD: Final = "cloud"
LEASE: Final = 5.0  # seconds, the shortest: the jobs of the receiver that is killed wait for its end
CONCURRENCY: Final = 16  # dispatches at once of a queue
_RECEIVER_CONCURRENCY: Final = 3 * CONCURRENCY  # duplicates come beside what the queue lets go


class PushPlace(Struct, frozen=True):
    """Ports and files of a run. `files_port` and `reports_port` are those of the two receivers."""

    place: Place
    emulator_port: int
    http_port: int
    files_port: int
    reports_port: int

    @property
    def guard_file(self) -> Path:
        """The guard's database."""
        return self.place.folder / "guard.db"

    @property
    def emulator_file(self) -> Path:
        """The emulator's database."""
        return self.place.folder / "emulator.db"


@contextmanager
def push_place(*, keep: bool, beside: bool = False) -> Generator[PushPlace]:
    """Make a place, and let this process and its receivers find it through their environment while it lasts.

    `beside`: as the carrier `cloud`, beside a SQLite file that is called `main` and comes first.
    """
    emulator, http, files, reports = _free_ports(4)
    with own_folder(keep=keep) as folder:
        url = f"cloudtasks://demo/laptop?emulator={HOST}:{emulator}"
        carriers = {
            "HEADWAY_CARRIERS": f"{MAIN}=sqlite:///{folder / 'demo.db'},{CLOUD}={url}",
            "HEADWAY_RECORD_EVENTS": "true",
        }
        variables = {
            **(carriers if beside else {"HEADWAY_URL": url}),
            "HEADWAY_GUARD": f"sqlite:///{folder / 'guard.db'}",
            "HEADWAY_TARGET": f"http://{HOST}:{files}/",
            "HEADWAY_TARGETS": f"reports=http://{HOST}:{reports}/",
            "HEADWAY_PUSH_SECRET": secrets.token_urlsafe(32),
            "HEADWAY_PUSH_LEASE": f"{LEASE:g}",
            "HEADWAY_PUSH_CONCURRENCY": str(_RECEIVER_CONCURRENCY),
        }
        with own_settings(folder, variables) as place:
            yield PushPlace(place, emulator, http, files, reports)


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now. All are held until the last one is known: they differ."""
    with ExitStack() as held:
        found: list[int] = []
        for _ in range(count):
            listener = held.enter_context(socket.socket())
            listener.bind((HOST, 0))
            found.append(int(listener.getsockname()[1]))
        return found
