"""Read records: by id, page by page, counted."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from headway.brokers.base import JobPage, QueueCounts, WorkerRecord
from headway.brokers.redis.keys import worker_channel
from headway.brokers.redis.records import LETTERS, STATES, Columns, log_lines, parse_header, record
from headway.brokers.redis.session import parse_kind
from headway.errors import ConfigError
from headway.job import JobId, JobState, WorkerId, id_instant_ms, is_job_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import JobQuery, LogLine
    from headway.brokers.redis.session import Session
    from headway.job import JobRecord

_BATCH: Final = 1000  # ids per script call
_MAX_PAGE: Final = 1000
_MAX_LOOK: Final = (
    20_000  # records looked at for one page: a rare match costs more pages, not a blocked server
)
_ORDER: Final = "RQDFSCX"
_LIST: Final = re.compile(r"\d:")
_CURSOR: Final = re.compile(
    r"R\0[^\0]*|S\0\d*|Q\d:.*\0\d*|[DFCX]\0(?:(?:-?\d+(?:\.\d+)?(?:e\+\d+)?|inf):.*)?", re.DOTALL
)

_GLOB: Final = re.compile(r"[\\*?\[\]]")  # what a pattern would take for more than itself


async def get(session: Session, ids: Sequence[JobId]) -> list[JobRecord | None]:
    """Return the records."""
    found: list[JobRecord | None] = []
    for first in range(0, len(ids), _BATCH):
        some = ids[first : first + _BATCH]
        *columns, generation = await session.run("get", *some)
        rows = [Columns(*row) for row in zip(*columns, strict=True)]
        kinds = await session.kinds((kind for row in rows if (kind := row.kind())), generation)
        found += [record(job_id, row, kinds) for job_id, row in zip(some, rows, strict=True)]
    return found


async def logs(session: Session, job_id: JobId) -> list[LogLine]:
    """Return the job's log."""
    return log_lines(await session.command("LRANGE", f"{session.prefix}log:{job_id}", 0, -1))


async def jobs(session: Session, query: JobQuery, after: str | None, limit: int) -> JobPage:
    """Return one page."""
    if not 1 <= limit <= _MAX_PAGE:
        msg = f"limit must be from 1 to {_MAX_PAGE}, got {limit}"
        raise ConfigError(msg)
    start, position = _parse_cursor(after)
    found: list[JobRecord] = []
    looked = 0
    for source in await _sources(session, query):
        if start is not None and _rank(source) < _rank(start):
            continue
        if source != start:
            position = ""
        while True:
            if len(found) >= limit or looked >= _MAX_LOOK:
                return JobPage(found, _cursor(source, position))
            size = limit - len(found)
            following, ids = await session.run("page", _raw(source), _raw(position), size)
            looked += len(ids)
            records = await get(session, [JobId(one.decode()) for one in ids if _is_text(one)])
            wanted = STATES[source[:1].encode()]
            found += [
                one for one in records if one is not None and one.state is wanted and _matches(one, query)
            ]
            if not following:
                break
            position = _text(following)
    return JobPage(found)


async def _sources(session: Session, query: JobQuery) -> list[str]:
    wanted = {LETTERS[state] for state in query.states} or set(_ORDER)
    sources = [letter for letter in _ORDER if letter in wanted and letter != "Q"]
    if "Q" in wanted:
        lists = [_text(name) for name in await session.command("SMEMBERS", f"{session.prefix}live")]
        sources += [
            f"Q{name}"
            for name in lists
            if _LIST.match(name) and (not query.queues or name[2:] in query.queues)
        ]
    return sorted(sources, key=_rank)


def _text(raw: bytes) -> str:
    """Read what others may have written; `_raw` gives the same bytes back."""
    return raw.decode(errors="surrogateescape")


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _is_text(raw: bytes) -> bool:
    """Tell whether an id can be one: whatever is no text was written by nobody here."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _rank(source: str) -> tuple[int, str, int]:
    if source[0] != "Q":
        return _ORDER.index(source[0]), "", 0
    return _ORDER.index("Q"), source[3:], -int(source[1])


def _matches(one: JobRecord, query: JobQuery) -> bool:
    if query.queues and one.queue not in query.queues:
        return False
    if query.tasks and one.task not in query.tasks:
        return False
    if query.search is None:
        return True
    text = query.search.lower()
    return (
        text in one.id.lower()
        or text in one.task.lower()
        or (one.key is not None and text in one.key.lower())
    )


def _cursor(source: str, position: str) -> str:
    return base64.urlsafe_b64encode(_raw(f"{source}\0{position}")).decode()


def _parse_cursor(cursor: str | None) -> tuple[str | None, str]:
    if cursor is None:
        return None, ""
    content = ""
    try:
        content = _text(base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True))
        match = _CURSOR.fullmatch(content)
    except (ValueError, binascii.Error):
        match = None
    if match is None:
        msg = f"not a cursor of this list: {cursor!r}; pass back the `cursor` of the page before"
        raise ConfigError(msg)
    source, _, position = content.partition("\0")
    return (source, position) if source[0] != "Q" else _parse_ready(content)


def _parse_ready(text: str) -> tuple[str, str]:
    source, _, position = text.rpartition("\0")  # a queue's name may hold anything
    return source, position


async def counts(session: Session, queues: Sequence[str] | None) -> list[QueueCounts]:
    """Count by state."""
    raw_kinds, counters, runs, ready, paused_raw = await session.run("counts")
    queue_of: dict[bytes, str] = {}
    for number, text in zip(raw_kinds[::2], raw_kinds[1::2], strict=True):
        kind = parse_kind(text)
        if kind is not None:
            queue_of[number] = kind.queue
    table: dict[str, dict[JobState, int]] = {}
    oldest: dict[str, int] = {}

    def add(queue: str | None, state: JobState, count: int) -> None:
        if queue is not None and count > 0:
            states = table.setdefault(queue, {})
            states[state] = states.get(state, 0) + count

    for field, count in zip(counters[::2], counters[1::2], strict=True):
        state, _, number = field.partition(b":")
        if state in STATES:
            add(queue_of.get(number), STATES[state], _count(count))
    for number, count in zip(runs[::2], runs[1::2], strict=True):
        add(queue_of.get(number), JobState.RUNNING, count)
    for name, length, tombs, first, header in zip(*[iter(ready)] * 5, strict=True):
        queue = name[2:].decode(errors="replace")
        add(queue, JobState.READY, length - tombs)
        if first and length > tombs:
            since = _waits_since(first.decode(errors="replace"), header)
            oldest[queue] = min(since, oldest.get(queue, since))
    paused = {one.decode(errors="replace") for one in paused_raw}
    names = sorted(table.keys() | paused) if queues is None else queues
    return [QueueCounts(name, name in paused, table.get(name, {}), oldest.get(name)) for name in names]


def _count(text: bytes) -> int:
    """Read a number of the server; 0 when it is damaged."""
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return 0


def _waits_since(job_id: str, header: bytes) -> int:
    made = id_instant_ms(job_id) if is_job_id(job_id) else 0
    try:
        due = parse_header(header).due_ms if header else None
    except ValueError:
        due = None
    return made if due is None else max(made, due)


async def workers(session: Session) -> list[WorkerRecord]:
    """Return the workers that hold jobs, and those that are subscribed to their channel."""
    channels = worker_channel(_GLOB.sub(r"\\\g<0>", session.prefix), "*")
    (*_, leases, holds), listening, at, draining = await asyncio.gather(
        session.run("overview"),
        session.try_command("PUBSUB", "CHANNELS", channels),
        session.try_command("HGETALL", f"{session.prefix}at"),
        session.try_command("HKEYS", f"{session.prefix}drains"),
    )
    held = {worker: _count(count) for worker, count in zip(holds[::2], holds[1::2], strict=True)}
    until = {worker: _count(till) for worker, till in zip(leases[::2], leases[1::2], strict=True)}
    start = len(worker_channel(session.prefix, "").encode())
    names = until.keys() | {channel[start:] for channel in listening or ()}
    pairs: list[bytes] = at or []
    asked = set(draining or ())
    classes = dict(zip(pairs[::2], pairs[1::2], strict=True))
    queues = await _queues_of(session, {classes[name] for name in names if name in classes})
    return [
        WorkerRecord(
            WorkerId(name.decode(errors="replace")),
            until.get(name),
            held.get(name, 0),
            queues.get(classes.get(name, b""), ()),
            draining=name in asked,
        )
        for name in sorted(names)
    ]


async def _queues_of(session: Session, classes: set[bytes]) -> dict[bytes, tuple[str, ...]]:
    """Return the queues that workers of these classes ask for, as far as they are known."""
    names = list(classes)
    found = await asyncio.gather(
        *(session.try_command("SMEMBERS", f"{session.prefix}cq:".encode() + name) for name in names)
    )
    return {
        name: tuple(sorted(queue.decode(errors="replace") for queue in queues or ()))
        for name, queues in zip(names, found, strict=True)
    }


async def paused(session: Session) -> frozenset[str]:
    """Return the paused queues."""
    names = await session.command("SMEMBERS", f"{session.prefix}paused")
    return frozenset(name.decode(errors="replace") for name in names)
