"""Migrations: how the commands that bring jobs along get on, as they told it; looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.errors import CodecError
from headway.migrate.keeping import read_migration, read_migrations
from headway.migrate.viewing import summary, view
from headway.server.services.problems import CannotError, NotFoundError
from headway.server.services.shared import check_everything

if TYPE_CHECKING:
    from headway.migrate.viewing import MigrationSummary, MigrationView
    from headway.server.access.caller import Caller
    from headway.server.services.shared import Shared


class Migrations:
    """The migrations into an app. Only the commands change them: what is told here is theirs."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def list(self, caller: Caller) -> list[MigrationSummary]:
        """Return those of the last 30 days, the one that was worked on last first."""
        check_everything(caller, "migrations")
        control = self._shared.control
        return [] if control is None else [summary(one) for one in await read_migrations(control)]

    async def get(self, caller: Caller, migration_id: str) -> MigrationView:
        """Return one; NotFoundError; CannotError when what is kept of it is damaged."""
        check_everything(caller, "migrations")
        control = self._shared.control
        try:
            stored = None if control is None else await read_migration(control, migration_id)
        except CodecError as error:
            raise CannotError(str(error)) from error
        if stored is None:
            msg = f"there is no migration {migration_id!r}: none was begun, or it was forgotten after 30 days"
            raise NotFoundError(msg)
        return view(stored)
