"""Templates become pages: everything that is put into one is escaped, whatever it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from msgspec import Struct

from headway.clock import to_ms
from headway.dashboard.charts import draw, short, spark, written
from headway.dashboard.places import PLACES
from headway.job import JobState

_HERE: Final = Path(__file__).parent
ASSETS: Final = _HERE / "assets"
KINDS: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
"""What the browser is told of a file, by its ending; no other file is given out."""

_WITHIN: Final = {
    "job": "jobs",
    "acts": "jobs",
    "act": "jobs",
    "record": "history",
    "route": "routes",
    "migration": "migrations",
    "new-http": "new",
    "new-schedule": "schedules",
}
"""Pages that are no places of their own: they belong to one."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_999  # the last instant of the calendar
_TONES: Final[Mapping[str, str]] = {
    JobState.SCHEDULED: "later",
    JobState.READY: "wait",
    JobState.RUNNING: "accent",
    JobState.SUCCEEDED: "good",
    JobState.FAILED: "bad",
    JobState.CANCELLED: "quiet",
    JobState.EXPIRED: "quiet",
}
_UNSEEN: Final = {
    *range(0x20),
    0x7F,
    *range(0x80, 0xA0),
    0x200B,
    *range(0x200E, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x206A),
    0xFEFF,
} - {0x0A, 0x09}
"""Characters that are not seen, or turn the direction of what follows: they are shown by their number."""


class Finding(Struct, frozen=True):
    """Something that is wrong now, in words, and where it is mended."""

    tone: str  # bad, warn
    text: str
    why: str = ""
    path: str = ""
    link: str = ""


class Who(Struct, frozen=True):
    """Who is signed in."""

    name: str
    role: str


class Flash(Struct, frozen=True):
    """What the last act came to, said on the page that follows it."""

    tone: str
    text: str


class Frame(Struct, frozen=True):
    """What stands around each page of one request."""

    app_name: str
    base: str  # the path below which the dashboard is mounted, without a slash at its end
    csrf: str
    may: Callable[[str], bool]
    mode: str = ""  # light, dark; empty: as the system has it
    who: Who | None = None  # None where nobody signs in
    flash: Flash | None = None


class Pages:
    """The templates, read once."""

    def __init__(self) -> None:
        self._jinja = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._words: dict[str, object] = {
            "draw": draw,
            "spark": spark,
            "written": written,
            "short": short,
            "seen": seen,
            "iso": iso,
            "ms_of": to_ms,
            "part": part,
            "tone_of": tone_of,
            "places": PLACES,
        }

    def render(self, name: str, frame: Frame, **values: object) -> str:
        """Return the page `templates/pages/NAME.html`; jinja2.UndefinedError when it needs what is not given."""
        around: dict[str, object] = {field: getattr(frame, field) for field in frame.__struct_fields__}

        def asset(file: str) -> str:
            return asset_path(frame.base, file)

        template = self._jinja.get_template(f"pages/{name}.html")
        return template.render(
            {**self._words, **around, "here": _WITHIN.get(name, name), "asset": asset, **values}
        )


def asset_path(base: str, name: str) -> str:
    """Return where an asset is; its content is part of the path, so that a browser may keep it for ever."""
    return f"{base}/assets/{_digest(name)}/{name}"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()[:12]


def iso(at_ms: int | None) -> str:
    """Return an instant (ms) in UTC, to the second; one beyond the calendar is named as its number."""
    if at_ms is None:
        return ""
    if not 0 <= at_ms <= _LAST_MS:
        return f"{at_ms} ms"
    return (_EPOCH + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%dT%H:%M:%SZ")


def part(name: str) -> str:
    """Return a name as a part of a path, whatever it holds."""
    return quote(name, safe="")


def tone_of(state: str) -> str:
    """Return the tone of a state of jobs; `quiet` for one that is not known."""
    return _TONES.get(state, "quiet")


def seen(text: object) -> str:
    """Return a text with what would not be seen, or would turn what follows, shown by its number."""
    return "".join(f"\\u{ord(one):04x}" if ord(one) in _UNSEEN else one for one in str(text))
