"""Migrations: how far jobs from another system have come, what is refused, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.migrate.standing import MigrationState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.dashboard.asking import Asked
    from headway.migrate.viewing import MigrationRow, MigrationSummary

TONES: Final[Mapping[MigrationState, str]] = {
    MigrationState.RUNNING: "accent",
    MigrationState.SILENT: "bad",
    MigrationState.STOPPED: "warn",
    MigrationState.FAILED: "bad",
    MigrationState.MOVED: "wait",
    MigrationState.VERIFIED: "good",
    MigrationState.UNSOUND: "bad",
    MigrationState.REVERTED: "quiet",
}


class Part(Struct, frozen=True):
    """A part of a bar: what it is, how many, and its tone."""

    name: str
    count: int
    tone: str


async def migrations(asked: Asked) -> str:
    """Return the page of all."""
    found = await asked.services.migrations.list(asked.caller)
    return asked.render(
        "migrations", "Migration", migrations=[(one, _parts(one)) for one in found], tones=TONES
    )


async def migration(asked: Asked) -> str:
    """Return the page of one."""
    one = await asked.services.migrations.get(asked.caller, asked.path["migration"])
    return asked.render(
        "migration",
        f"Migration from {one.kind}",
        one=one,
        tone=TONES[one.state],
        parts=_parts(one),
        rows=[(row, _parts(row)) for row in one.rows],
        refused=[reason for reason in one.reasons if reason.refused],
        left=[reason for reason in one.reasons if not reason.refused],
        numbers=_numbers(one),
        running=one.run is not None and one.run.state == "running",
    )


def _parts(one: MigrationSummary | MigrationRow) -> list[Part]:
    """Return what the jobs that were found came to, each with its share of a bar."""
    return [
        Part("moved", one.moved, "good"),
        Part("under way", one.under_way, "accent"),
        Part("left", one.left, "later"),
        Part("refused", one.refused, "bad"),
        Part("reverted", one.reverted, "wait"),
        Part("not looked at", one.pending, "quiet"),
    ]


def _numbers(one: MigrationSummary) -> list[tuple[str, str, str, str]]:
    """Return the figures at the top: name, value, more, tone."""
    share = f"{100 * one.moved // one.found} % of them" if one.found else ""
    numbers = [
        ("Jobs found", f"{one.found:,}", "in all states", ""),
        ("Moved", f"{one.moved:,}", share, ""),
        ("Left", f"{one.left:,}", "stay there by plan", ""),
        ("Refused", f"{one.refused:,}", "stay there, see why", "bad" if one.refused else ""),
        ("Reverted", f"{one.reverted:,}", "put back by hand", ""),
        ("Not looked at", f"{one.pending:,}", "yet, or came since", ""),
    ]
    if one.under_way:
        numbers.append(("Under way", f"{one.under_way:,}", "taken, not finished", "warn"))
    return numbers
