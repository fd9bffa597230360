"""The way around: which pages there are, in the order in which they are shown."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Place(Struct, frozen=True):
    """A page in the way around. `key` follows `g` on the keyboard; `gap`: a line stands before it."""

    name: str
    title: str
    path: str
    key: str
    gap: bool = False


PLACES: Final = (
    Place("overview", "Overview", "/", "o"),
    Place("jobs", "Jobs", "/jobs", "j"),
    Place("history", "History", "/history", "h"),
    Place("new", "New job", "/new", "n"),
    Place("queues", "Queues", "/queues", "q", gap=True),
    Place("failures", "Failures", "/failures", "f"),
    Place("schedules", "Schedules", "/schedules", "s"),
    Place("workers", "Workers", "/workers", "w"),
    Place("routes", "Routes", "/routes", "r", gap=True),
    Place("migrations", "Migration", "/migrations", "m"),
    Place("audit", "Audit", "/audit", "a", gap=True),
    Place("keys", "Keys", "/keys", "k"),
)
