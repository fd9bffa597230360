"""What is searched for, and the statement that finds it.

A search is led by the condition that an index answers best, in the order of ids, so that a page costs about as much as
it has rows, however many there are. Conditions of several values are one search each, merged.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct
from sqlalchemy import ColumnElement, FromClause, Select, and_, func, literal, select, tuple_, union_all

from headway.errors import ConfigError
from headway.job import JobId, is_job_id
from headway.records.tables import JOB, TERM
from headway.records.terms import argument_term, error_terms, error_words, header_term, key_term, tag_term

if TYPE_CHECKING:
    from collections.abc import Sequence

Found: TypeAlias = "Select[*tuple[Any, ...]]"
MAX_PAGE: Final = 1000
_MAX_VALUES: Final = 20  # of one condition that are searched for one by one
_LONGEST: Final = 16  # digits of an instant
_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_INSTANT_BITS: Final = 48
_ID_BITS: Final = 100


class RecordQuery(Struct, frozen=True, kw_only=True):
    """Which jobs: all given conditions hold; of several values of one, any fits (of tags, headers, arguments: all).

    `arguments` are pairs of a JSON path, such as `order.id`, and a value; `error` are words of the type or the message
    of the last error, in any order; `group` is a group of errors. `since_ms` and `until_ms` bound when the job was
    enqueued, the latter exclusive; `finished_since_ms` and `finished_until_ms` when it ended: then the latest end comes
    first, else the latest enqueued.
    """

    ids: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    carriers: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    arguments: tuple[tuple[str, Any], ...] = ()
    key: str | None = None
    error: str = ""
    group: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    finished_since_ms: int | None = None
    finished_until_ms: int | None = None

    @property
    def by_end(self) -> bool:
        """True when ends are bounded: then the latest end comes first."""
        return self.finished_since_ms is not None or self.finished_until_ms is not None


def page_statement(query: RecordQuery, columns: Sequence[Any], after: str | None, limit: int) -> Found:
    """Return the statement of one page, the latest enqueued first, or the latest ended where ends are bounded.

    ConfigError names a condition that cannot be.
    """
    if query.by_end:
        return _page_by_end(query, columns, after, limit)
    return page_by_id(query, columns, after, limit)


def page_by_id(query: RecordQuery, columns: Sequence[Any], after: str | None, limit: int) -> Found:
    """Return the statement of one page, the latest enqueued first; the id of its last job is the cursor of the next."""
    _check(limit, after, valid=after is None or is_job_id(after))
    parts = [part.limit(limit) for part in _parts(query, after)]
    if len(parts) == 1:
        return select(*columns).where(JOB.c.id.in_(parts[0])).order_by(JOB.c.id.desc()).limit(limit)
    found = union_all(*(select(part.subquery().c.id) for part in parts)).subquery()
    return select(*columns).where(JOB.c.id.in_(select(found.c.id))).order_by(JOB.c.id.desc()).limit(limit)


def cursor_of(query: RecordQuery, job_id: str, finished_ms: int | None) -> str:
    """Return the cursor behind a job."""
    return f"{finished_ms}.{job_id}" if query.by_end else job_id


def _page_by_end(query: RecordQuery, columns: Sequence[Any], after: str | None, limit: int) -> Found:
    instant, _, job_id = (after or "").partition(".")
    _check(
        limit,
        after,
        valid=after is None or (instant.isdecimal() and len(instant) < _LONGEST and is_job_id(job_id)),
    )
    has = TERM.alias()
    conditions = _plain(query, None, JOB.c.id)
    conditions += [
        select(literal(1)).where(has.c.term == one, has.c.job_id == JOB.c.id).exists()
        for one in _terms(query)
    ]
    conditions += [column.in_(values) for column, values in _asked(query)]
    if after is not None:
        conditions.append(tuple_(JOB.c.finished_ms, JOB.c.id) < (int(instant), job_id))
    order = JOB.c.finished_ms.desc(), JOB.c.id.desc()
    return select(*columns).where(JOB.c.finished_ms.is_not(None), *conditions).order_by(*order).limit(limit)


def _check(limit: int, after: str | None, *, valid: bool) -> None:
    if not 1 <= limit <= MAX_PAGE:
        msg = f"limit must be from 1 to {MAX_PAGE}, got {limit}"
        raise ConfigError(msg)
    if not valid:
        msg = f"{after!r} is not a cursor of this list: give back the cursor of the page before"
        raise ConfigError(msg)


def count_statement(query: RecordQuery, most: int) -> Found:
    """Return the statement that counts matching jobs, `most` at most."""
    parts = [part.order_by(None).limit(most) for part in _parts(query, None)]
    found = (
        parts[0].subquery()
        if len(parts) == 1
        else union_all(*(select(part.subquery().c.id) for part in parts)).subquery()
    )
    return select(func.count()).select_from(select(found.c.id).limit(most).subquery())


def first_id(instant_ms: int) -> str:
    """Return what sorts before each id that was made at this instant or later, and behind all others."""
    instant = max(0, min(instant_ms, (1 << _INSTANT_BITS) - 1))
    value = instant << (_ID_BITS - _INSTANT_BITS)
    return "".join(_DIGITS[(value >> shift) & 31] for shift in range(_ID_BITS - 5, -1, -5))


def _parts(query: RecordQuery, after: str | None) -> list[Found]:
    """Return the searches whose results, together, are the result: each in the order of ids, by one index."""
    terms = _terms(query)
    source: FromClause = JOB
    order: ColumnElement[str] = JOB.c.id
    conditions: list[ColumnElement[bool]] = []
    if terms:
        # The rarest is not known; whatever is asked for with its value is rarer than a word or a tag, so it leads.
        first, *rest = terms
        led = TERM.alias("t0")
        source = led.join(JOB, JOB.c.id == led.c.job_id)
        order = led.c.job_id
        conditions.append(led.c.term == first)
        for number, one in enumerate(rest, start=1):
            also = TERM.alias(f"t{number}")
            conditions.append(
                select(literal(1)).where(also.c.term == one, also.c.job_id == led.c.job_id).exists()
            )
    conditions += _plain(query, after, order)
    asked = _asked(query)
    led_by = [] if terms or query.ids else _leading(asked)
    conditions += [column.in_(values) for column, values in asked if (column, values) not in led_by]
    base = select(order.label("id")).select_from(source).order_by(order.desc())
    columns = [column for column, _ in led_by]
    return [
        base.where(*(column == value for column, value in zip(columns, values, strict=True)), *conditions)
        for values in product(*(values for _, values in led_by))
    ]


def _asked(query: RecordQuery) -> list[tuple[ColumnElement[str], tuple[str, ...]]]:
    """Return the columns of which values are asked for, the one whose index answers best first."""
    several: tuple[tuple[ColumnElement[str], tuple[str, ...]], ...] = (
        (JOB.c.error_group, () if query.group is None else (query.group,)),
        (JOB.c.task, query.tasks),
        (JOB.c.queue, query.queues),
        (JOB.c.state, query.states),
        (JOB.c.carrier, query.carriers),
    )
    return [(column, tuple(dict.fromkeys(values))) for column, values in several if values]


def _leading(
    asked: Sequence[tuple[ColumnElement[str], tuple[str, ...]]],
) -> list[tuple[ColumnElement[str], tuple[str, ...]]]:
    """Return the conditions of which each combination of values is searched for by itself: the first, and the states.

    There is an index of each with the states beside it.
    """
    found = [(column, values) for column, values in asked[:1] if len(values) <= _MAX_VALUES]
    states = [one for one in asked[1:] if one[0] is JOB.c.state]
    if found and states and len(found[0][1]) * len(states[0][1]) <= _MAX_VALUES:
        found += states
    return found


def _plain(query: RecordQuery, after: str | None, order: ColumnElement[str]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if after is not None:
        conditions.append(order < after)
    if query.ids:
        conditions.append(order.in_([one for one in query.ids if is_job_id(one)]))
    if query.since_ms is not None:
        conditions.append(order >= first_id(query.since_ms))
    if query.until_ms is not None:
        conditions.append(order < first_id(query.until_ms))
    ended: list[ColumnElement[bool]] = []
    if query.finished_since_ms is not None:
        ended.append(JOB.c.finished_ms >= query.finished_since_ms)
    if query.finished_until_ms is not None:
        ended.append(JOB.c.finished_ms < query.finished_until_ms)
    if ended:
        conditions.append(and_(*ended))
    return conditions


def _terms(query: RecordQuery) -> list[int]:
    found = [] if query.key is None else [key_term(query.key)]
    found += [argument_term(path, value) for path, value in query.arguments]
    found += [header_term(name, value) for name, value in query.headers]
    if query.error:
        words = sorted(error_words(query.error), key=len, reverse=True)
        if not words:
            msg = f"error: {query.error!r} has no word of two letters or more to search for"
            raise ConfigError(msg)
        found += error_terms(" ".join(words))
    found += [tag_term(tag) for tag in query.tags]
    return list(dict.fromkeys(found))


def ids_in(query: RecordQuery) -> tuple[JobId, ...]:
    """Return the ids that the query names and that have the form of one."""
    return tuple(JobId(one) for one in query.ids if is_job_id(one))
