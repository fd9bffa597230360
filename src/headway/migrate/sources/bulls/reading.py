"""What a job's hash says, read with suspicion: anybody who reaches the Redis may have written it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from msgspec import Struct

from headway.migrate.found import BackOff, Dedup
from headway.migrate.sources.bulls.scripts import SHARED, load_script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from headway.migrate.server import SourceServer
    from headway.migrate.sources.bulls.keys import Keys
    from headway.migrate.sources.bulls.walking import Placed

_PEEKED: Final = 25  # jobs a call: half a millisecond
_FIELDS: Final = (
    "name",
    "opts",
    "timestamp",
    "delay",
    "priority",
    "atm",
    "attemptsMade",
    "failedReason",
    "progress",
    "parentKey",
    "deid",
    "rjk",
    "finishedOn",
    "stacktrace",
)
_BEFORE: Final = 9  # words of an answer before the fields
_TOO_LONG: Final = "\0"
_SURE: Final = 16  # so few digits are a number that JavaScript tells apart
_MOST_ATTEMPTS: Final = 1_000_000
_LATEST_MS: Final = 2**53  # what a number of JavaScript still tells apart
_MOST_REASONS: Final = 25
_LONGEST_REASON: Final = 2000  # characters


class UnreadableError(Exception):
    """Why a job cannot be brought along, in words for its owner."""


class Raw(Struct, frozen=True, kw_only=True):
    """A job as it lies there. `fields` are texts; one that was too long to read begins with NUL and its length."""

    job_id: str
    score: bytes
    seal: str
    size: int
    data: bytes | None
    max_bytes: int  # of the data, else it was not read
    locked: bool
    waits_for: int
    children: tuple[str, ...]
    entry: str  # the repeating entry whose next job this is
    follows: bool  # another job was kept for the time when this one has ended
    children_ended: int
    fields: Mapping[str, str]

    def text(self, field: str) -> str:
        """Return a field; UnreadableError when it was too long."""
        found = self.fields[field]
        if found[:1] == _TOO_LONG:
            msg = f"its {field} has {found[1:]} bytes"
            raise UnreadableError(msg)
        return found

    def number(self, field: str) -> int:
        """Return a field as a whole number, 0 when there is none; UnreadableError when it is something else."""
        found = self.fields[field]
        if len(found) < _SURE and found.isdecimal() and found.isascii():
            return int(found)
        if not found:
            return 0
        return whole(self.text(field) or 0, field)

    def options(self) -> Mapping[str, Any]:
        """Return the job's options; UnreadableError when they are no JSON object."""
        return json_object(self.text("opts") or "{}", "options")


async def read_jobs(
    server: SourceServer, keys: Keys, placed: Sequence[Placed], max_bytes: int
) -> AsyncIterator[list[tuple[Placed, Raw | None]]]:
    """Yield what lies under the ids, some at a time; None where nothing does."""
    script = load_script(SHARED, "peek")
    left = list(placed)
    while left:
        batch = left[:_PEEKED]
        answer: list[Any] = await server.run(
            script, [keys.ledger, keys.head], [max_bytes, *(job_id for job_id, _ in batch)]
        )
        yield [(one, _raw(one, row, max_bytes)) for one, row in zip(batch, answer, strict=False)]
        left = left[len(answer) :]


def _raw(placed: Placed, row: list[Any], max_bytes: int) -> Raw | None:
    if not row:
        return None
    job_id, score = placed
    seal, size, data, locked, waits_for, children, entry, follows, ended = row[:_BEFORE]
    return Raw(
        job_id=shown(job_id),
        score=score,
        seal=shown(seal),
        size=int(size),
        data=data,
        max_bytes=max_bytes,
        locked=bool(locked),
        waits_for=int(waits_for),
        children=tuple(shown(child) for child in children),
        entry=shown(entry or b""),
        follows=bool(follows),
        children_ended=int(ended),
        fields={
            name: value.decode(errors="replace") for name, value in zip(_FIELDS, row[_BEFORE:], strict=True)
        },
    )


def shown(text: bytes) -> str:
    """Return a name as text, whatever its bytes are."""
    return text.decode(errors="backslashreplace")


def is_text(job_id: bytes) -> bool:
    """Whether an id is UTF-8, as those of both libraries are."""
    try:
        job_id.decode()
    except UnicodeDecodeError:
        return False
    return True


def data_of(raw: Raw) -> Any:  # noqa: ANN401 - any JSON value
    """Read the job's data; UnreadableError says what is wrong with it."""
    if raw.data is None:
        msg = f"its data has {raw.size} bytes, and {raw.max_bytes} are read"
        raise UnreadableError(msg)
    return json_value(raw.data or b"{}", "data")


def json_value(text: bytes | str, what: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read JSON; UnreadableError when it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        msg = f"its {what} is no JSON"
        raise UnreadableError(msg) from None


def json_object(text: bytes | str, what: str) -> Mapping[str, Any]:
    """Read a JSON object; UnreadableError when it is none."""
    value = json_value(text, what)
    if not isinstance(value, dict):
        msg = f"its {what} are no JSON object"
        raise UnreadableError(msg)
    return cast("Mapping[str, Any]", value)


def whole(value: Any, what: str) -> int:  # noqa: ANN401 - whatever was written
    """Read a number that is whole or nearly so (JavaScript has one kind); UnreadableError when it is something else."""
    try:
        found = float(value)
        number = int(found)
    except (TypeError, ValueError, OverflowError):
        number, found = -1, -1.0
    if isinstance(value, bool) or not 0 <= found <= _LATEST_MS:
        msg = f"its {what} is no number of 0 or more"
        raise UnreadableError(msg)
    return number


def attempts_of(options: Mapping[str, Any]) -> int:
    """Return how many attempts there are in all: both libraries make one when nothing, or 0, is said."""
    return max(1, min(whole(options.get("attempts") or 1, "attempts"), _MOST_ATTEMPTS))


def back_off_of(options: Mapping[str, Any]) -> BackOff | None:
    """Return how the library waits between attempts; a lone number is a fixed wait."""
    given = options.get("backoff")
    if not given:
        return None
    if isinstance(given, dict):
        found = cast("Mapping[str, Any]", given)
        return BackOff(str(found.get("type", "")), whole(found.get("delay") or 0, "back-off"))
    return BackOff("fixed", whole(given, "back-off"))


def dedup_of(given: Any) -> Dedup | None:  # noqa: ANN401 - whatever was written
    """Read deduplication options (BullMQ's `deduplication`, Bull's `debounce`)."""
    if not isinstance(given, dict):
        return None
    found = cast("Mapping[str, Any]", given)
    key = found.get("id")
    if not isinstance(key, str) or not key:
        return None
    return Dedup(key, whole(found.get("ttl") or 0, "deduplication"), replace=bool(found.get("replace")))


def own_key(options: Mapping[str, Any]) -> str | None:
    """Return the id that a user gave to a job. Those of repeating entries are made by the library."""
    given = options.get("jobId")
    if options.get("repeat") or given is None or not isinstance(given, str | int):
        return None
    return str(given)


def reasons_of(raw: Raw) -> tuple[str, ...]:
    """Return why attempts failed, as far as it is kept: a line of each stack trace, and the last reason."""
    last = _reason(raw.fields["failedReason"])
    kept = raw.fields["stacktrace"]
    try:
        traces: Any = [] if kept.startswith(_TOO_LONG) or not kept else json_value(kept, "stack traces")
    except UnreadableError:
        traces = []
    lines = [str(trace).partition("\n")[0] for trace in cast("list[Any]", traces or [])][-_MOST_REASONS:]
    reasons = [_reason(line.removeprefix("Error: ")) for line in lines]
    if last and (not reasons or reasons[-1] != last):
        reasons.append(last)
    return tuple(reasons)


def _reason(text: str) -> str:
    return f"(a text of {text[1:]} bytes)" if text.startswith(_TOO_LONG) else text[:_LONGEST_REASON]
