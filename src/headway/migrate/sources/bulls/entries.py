"""What a repeating entry says: when it fires, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

from msgspec import Struct

from headway.migrate.sources.bulls.reading import (
    Raw,
    UnreadableError,
    data_of,
    json_object,
    json_value,
    whole,
)

SCALE: Final = 4096  # of the scores of delayed jobs
ENTRY_FIELDS: Final = (
    "name",
    "pattern",
    "every",
    "tz",
    "offset",
    "startDate",
    "endDate",
    "limit",
    "opts",
    "data",
    "ic",
)


class Repeating(Struct, frozen=True):
    """A repeating entry as it lies there, with the job of its next fire where there is one.

    `due` is the job's score among the delayed ones; empty: it is not among them.
    """

    key: str
    score: str
    seal: str
    fields: Mapping[str, str]
    job: Raw | None = None
    due: str = ""
    runs: bool = False

    @property
    def fires_ms(self) -> int:
        """The fire time that was last worked out."""
        return int(float(self.score))

    def text(self, field: str) -> str:
        """Return a field of its hash; UnreadableError when it was too long."""
        found = self.fields[field]
        if found.startswith("\0"):
            msg = f"its {field} has {found[1:]} bytes"
            raise UnreadableError(msg)
        return found


class Terms(Struct, frozen=True, kw_only=True):
    """When an entry fires, and with what: read from its hash, or from its job."""

    name: str
    args: tuple[Any, ...]
    cron: str = ""
    every_ms: int = 0
    timezone: str = ""
    offset_ms: int = 0
    start_ms: int | None = None
    end_ms: int | None = None
    limit: int | None = None
    fired: int = 0
    options: Mapping[str, Any] = {}


def terms_of_job(one: Repeating) -> Terms:
    """Read an entry of which only the key is kept: all else is in the options of its job."""
    options = options_of(one)
    given: Any = options.get("repeat")
    if not isinstance(given, dict) or one.job is None:
        msg = "the job of its next fire does not say how it repeats"
        raise UnreadableError(msg)
    repeat = cast("Mapping[str, Any]", given)
    limit = repeat.get("limit")
    cron = repeat.get("cron") or repeat.get("pattern") or ""
    if not isinstance(cron, str):
        msg = "its pattern is no text"
        raise UnreadableError(msg)
    return Terms(
        name=one.job.text("name"),
        args=(data_of(one.job),),
        cron=cron,
        every_ms=whole(repeat.get("every") or 0, "interval"),
        timezone=str(repeat.get("tz") or ""),
        start_ms=date_ms(repeat.get("startDate")),
        end_ms=date_ms(repeat.get("endDate")),
        limit=None if limit is None else whole(limit, "limit"),
        fired=max(0, whole(repeat.get("count") or 1, "count") - 1),
        options=options,
    )


def terms_of_hash(one: Repeating) -> Terms:
    """Read an entry that keeps all in its hash."""
    data = one.text("data") or "{}"
    limit = one.text("limit")
    return Terms(
        name=one.text("name"),
        args=(json_value(data, "data"),),
        cron=one.text("pattern"),
        every_ms=whole(one.text("every") or 0, "interval"),
        timezone=one.text("tz"),
        start_ms=date_ms(one.text("startDate")),
        end_ms=date_ms(one.text("endDate")),
        limit=whole(limit, "limit") if limit else None,
        fired=max(0, whole(one.text("ic") or 1, "count") - 1),
        options=json_object(one.text("opts") or "{}", "options"),
    )


def options_of(one: Repeating) -> Mapping[str, Any]:
    """Return the options of the entry's job; UnreadableError when there is no such job."""
    if one.job is None:
        msg = "the job of its next fire is missing, and with it what it is called with"
        raise UnreadableError(msg)
    return one.job.options()


def date_ms(value: Any) -> int | None:  # noqa: ANN401 - whatever was written
    """Read a date as the libraries keep it, in ms; or as a user may have given it, which is left alone."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value in {"", 0}:
        return None
    try:
        return whole(value, "date")
    except UnreadableError:
        if isinstance(value, str):
            return _iso_ms(value)
        raise


def _iso_ms(text: str) -> int:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        msg = "one of its dates is none"
        raise UnreadableError(msg) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def next_of_interval(fires_ms: int, every_ms: int, now_ms: int) -> int:
    """Return the next fire time after now, and after `fires_ms`, in steps from there."""
    steps = max(1, (now_ms - fires_ms) // every_ms + 1)
    return fires_ms + steps * every_ms
