"""Migrations by HTTP: jobs that come from another system, and how far that is."""

from __future__ import annotations

from msgspec import Struct

from headway.migrate.viewing import MigrationSummary, MigrationView
from headway.server.rest.operation import Call, Reply, operation


class MigrationList(Struct, frozen=True):
    """Migrations of the last 30 days, the one that was worked on last first."""

    migrations: list[MigrationSummary]


@operation(answer=MigrationList)
async def list_migrations(call: Call) -> Reply:
    """List the migrations into this app, with how many jobs were found, moved, left, refused and reverted."""
    return Reply(MigrationList(await call.state.services.migrations.list(call.caller)))


@operation(answer=MigrationView)
async def get_migration(call: Call) -> Reply:
    """Return one migration: its rows by queue and state, refusals by reason, runs, verdict, and what to do next.

    The commands `headway migrate apply`, `forward`, `revert` and `verify` tell it while they run. `report` is Markdown.
    """
    return Reply(await call.state.services.migrations.get(call.caller, call.path["migration"]))
