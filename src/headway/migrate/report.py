"""What a migration came to, as data for programs and as Markdown for a ticket. Nothing in it is a job's arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headway.clock import from_ms
from headway.text import storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.migrate.apply import Applied
    from headway.migrate.census import Census, Reason, Row
    from headway.migrate.repeatables import Line
    from headway.migrate.revert import Reverted
    from headway.migrate.verify import Verified

_CELL: Final = 200  # characters


def census_fields(census: Census) -> dict[str, Any]:
    """Return a plan or a move as plain data."""
    return {
        "found": census.found,
        "moved": census.moved,
        "left": census.left,
        "refused": census.refused,
        "rows": [_row_fields(row) for row in census.rows],
    }


def applied_fields(applied: Applied) -> dict[str, Any]:
    """Return what a move came to as plain data."""
    return {
        **census_fields(applied.census),
        "resumed": applied.resumed,
        "doubtful": [
            {"queue": one.queue, "source_id": one.source_id, "since": instant(one.since_ms)}
            for one in applied.doubtful
        ],
    }


def verified_fields(found: Verified) -> dict[str, Any]:
    """Return what was counted as plain data."""
    return {
        "ok": found.sound,
        "accounts": [
            {
                "queue": one.queue,
                "state": one.state.value,
                "found": one.found,
                "moved": one.moved,
                "left": one.left + one.pending,
                "refused": one.refused,
                "reverted": one.reverted,
                "under_way": one.under_way,
                "waiting_to_be_moved": one.pending,
                "record_dropped": one.completed,
            }
            for one in (found.accounts[key] for key in sorted(found.accounts))
        ],
        "compared": found.compared,
        "digest_sent": f"{found.digests_sent:016x}",
        "digest_here": f"{found.digests_here:016x}",
        "troubles": [
            {"queue": one.queue, "source_id": one.source_id, "job_id": one.job_id, "why": one.why}
            for one in found.troubles
        ],
        "more_troubles": found.more_troubles,
        "in_source": census_fields(found.census)["rows"],
    }


def reverted_fields(done: Reverted) -> dict[str, Any]:
    """Return what a way back came to as plain data."""
    return {
        "reverted": done.reverted,
        "stayed": [
            {"queue": one.queue, "source_id": one.source_id, "job_id": one.job_id, "why": one.why}
            for one in done.stayed
        ],
        "more_stayed": done.more_stayed,
    }


def lines_fields(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Return what became of repeating entries as plain data."""
    return [
        {
            "queue": one.queue,
            "source_id": one.source_id,
            "name": one.name,
            "outcome": one.outcome,
            "schedule": one.schedule,
            "next": instant(one.next_ms),
            "why": one.why,
        }
        for one in lines
    ]


def instant(at_ms: int | None) -> str:
    """Write an instant in UTC; empty when there is none, or it is in no calendar."""
    if at_ms is None:
        return ""
    try:
        return from_ms(at_ms).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(at_ms)


def markdown(title: str, fields: Mapping[str, Any]) -> str:
    """Write any of these as Markdown: what is one value as a list, what are rows as a table."""
    lines = [f"# {title}", ""]
    lines += [
        f"- {_words(key)}: {_cell(value)}" for key, value in fields.items() if not isinstance(value, list)
    ]
    for key, value in fields.items():
        if isinstance(value, list) and value:
            lines += ["", f"## {_words(key)}", "", *_table(value)]
    return "\n".join(lines) + "\n"


def _row_fields(row: Row) -> dict[str, Any]:
    return {
        "queue": row.queue,
        "state": row.state.value,
        "found": row.found,
        "moved": row.moved,
        "left": row.left,
        "refused": row.refused,
        "gone": row.gone,
        "oldest": instant(row.oldest_ms),
        "first_due": instant(row.first_due_ms),
        "last_due": instant(row.last_due_ms),
        "carriers": row.carriers,
        "names": row.names,
        "why_left": _reasons(row.why_left),
        "why_refused": _reasons(row.why_refused),
    }


def _reasons(reasons: Mapping[str, Reason]) -> list[dict[str, Any]]:
    return [
        {
            "why": why,
            "count": one.count,
            "examples": [{"source_id": source_id, "name": name} for source_id, name in one.examples],
        }
        for why, one in reasons.items()
    ]


def _table(rows: Any) -> list[str]:  # noqa: ANN401 - mappings with the same keys
    columns = list(rows[0])
    lines = ["| " + " | ".join(map(_words, columns)) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(_cell(row.get(one)) for one in columns) + " |" for row in rows]


def _cell(value: Any) -> str:  # noqa: ANN401 - any plain value
    """Write a value so that it can leave neither its cell nor its line, whatever a job's name holds."""
    text = str(value)
    kind = value.__class__
    if kind is dict:
        text = ", ".join(f"{key}: {one}" for key, one in value.items())
    elif kind is list:
        text = "; ".join(map(_cell, value))
    plain = "".join(c if c.isprintable() else " " for c in storable(text, _CELL))
    return plain.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")


def _words(key: str) -> str:
    return key.replace("_", " ")
