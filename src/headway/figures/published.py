"""What each process of a group has counted, in files of one folder, for whoever serves them as metrics.

A process adds what it gathers to its own file every few seconds; nothing happens for a single job. Numbers of processes
that have ended go on to count, so that sums never shrink while the reader lives; what they measured just then does not.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headway.figures.values import OTHER, Figures, Row, figures

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER: Final = "HEADWAY_METRICS_FOLDER"
"""The variable that names the folder to the processes of a group; not set: nothing is published."""
MAX_KEYS: Final = 1000
"""Combinations of queue, task and carrier that a process keeps apart; further ones are added up as `(other)`."""
_SUFFIX: Final = ".figures"


class Sums(Struct, frozen=True):
    """What was counted since the beginning, and what was measured last; both are sums over processes."""

    figures: Figures = Figures()
    totals: dict[str, float] = {}  # these only grow
    gauges: dict[str, float] = {}

    def merged(self, *others: Sums) -> Sums:
        """Return the sums of all."""
        totals, gauges = dict(self.totals), dict(self.gauges)
        for one in others:
            for name, value in one.totals.items():
                totals[name] = totals.get(name, 0) + value
            for name, value in one.gauges.items():
                gauges[name] = gauges.get(name, 0) + value
        return Sums(self.figures.merged(*(one.figures for one in others)), totals, gauges)


class _File(Struct, frozen=True):
    pid: int
    sums: Sums


class Published:
    """The sums of this process, in a file."""

    def __init__(self, folder: Path) -> None:
        """Of a folder that is there."""
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
        self._sums = Sums()
        self._number = 0

    def add(self, number: int, more: Figures) -> None:
        """Add the figures of a delta, once: it may be given again until its store has it."""
        if number <= self._number:
            return
        self._number = number
        known = {row.key for row in self._sums.figures.rows}
        rows: list[Row] = []
        for row in more.rows:
            key = (0, row.queue, row.task, row.carrier)
            kept = key in known or len(known) < MAX_KEYS
            known.add(key if kept else (0, OTHER, OTHER, row.carrier))
            rows.append(Row(*key, row.counts) if kept else Row(0, OTHER, OTHER, row.carrier, row.counts))
        self._sums = replace(self._sums, figures=self._sums.figures.merged(figures(rows)))

    def write(self, totals: Mapping[str, float], gauges: Mapping[str, float]) -> None:
        """Write all at once; a folder that is gone or full is nobody's trouble."""
        self._sums = replace(self._sums, totals=dict(totals), gauges=dict(gauges))
        temporary = self._path.with_suffix(".new")
        with suppress(OSError):
            temporary.write_bytes(_encode(_File(os.getpid(), self._sums)))
            temporary.replace(self._path)


def published() -> Published | None:
    """Return where this process publishes; None: nobody asked for it."""
    folder = os.environ.get(FOLDER)
    return Published(Path(folder)) if folder and Path(folder).is_dir() else None


class Reader:
    """Adds up the files of a folder; the only reader of it: it takes in those of processes that have ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = Sums()

    def read(self) -> tuple[Sums, int]:
        """Return the sums, and the number of processes that publish."""
        alive: list[Sums] = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                found = _decode(path.read_bytes())
            except (OSError, msgspec.MsgspecError):
                continue
            if _is_alive(found.pid):
                alive.append(found.sums)
            else:
                self._ended = self._ended.merged(replace(found.sums, gauges={}))
                path.unlink(missing_ok=True)
        return self._ended.merged(*alive), len(alive)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_File).decode
