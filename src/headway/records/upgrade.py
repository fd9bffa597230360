"""The version of the tables: checked when the records are opened, changed by `headway db upgrade` alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec import Struct
from sqlalchemy import inspect
from sqlalchemy.schema import CreateSchema

from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.runtime.migration import RevisionStep
    from sqlalchemy import Connection

_TABLE: Final = "version"
_FOLDER: Final = Path(__file__).parent / "migrations"


class Upgraded(Struct, frozen=True):
    """Which versions were there before an upgrade and are there behind it; None: no tables."""

    before: str | None
    after: str


def newest() -> str:
    """Return the version that this Headway needs."""
    head = _scripts().get_current_head()
    if head is None:
        msg = "headway.records: the package has no migrations; install it anew"
        raise ConfigError(msg)
    return head


def version(connection: Connection, schema: str | None) -> str | None:
    """Return the version of the tables; None: there are none."""
    if not inspect(connection).has_table(_TABLE, schema=schema):
        return None
    return _context(connection, schema).get_current_revision()


def check(connection: Connection, schema: str | None, name: str) -> None:
    """ConfigError says what to do when the tables are not of the version that this Headway needs."""
    found, wanted = version(connection, schema), newest()
    if found == wanted:
        return
    if found is None:
        msg = f"records: there are no tables in {name} yet: run headway db upgrade"
    elif found in {one.revision for one in _scripts().walk_revisions()}:
        msg = (
            f"records: the tables in {name} have version {found}, {wanted} is needed: run headway db upgrade"
        )
    else:
        msg = f"records: the tables in {name} have version {found}, of a newer Headway: upgrade this one"
    raise ConfigError(msg)


def upgrade(connection: Connection, schema: str | None) -> Upgraded:
    """Bring the tables to the newest version, in the transaction of the connection."""
    scripts = _scripts()
    if schema is not None:
        connection.execute(CreateSchema(schema, if_not_exists=True))
    before = version(connection, schema)

    def steps(revision: Sequence[str], _: MigrationContext) -> list[RevisionStep]:
        return scripts._upgrade_revs("head", revision)  # type: ignore[arg-type]  # noqa: SLF001 - as its commands do

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(
            connection=connection,
            version_table=_TABLE,
            version_table_schema=schema,
            transactional_ddl=True,
        )
        environment.run_migrations()
    return Upgraded(before, newest())


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(_FOLDER))


def _context(connection: Connection, schema: str | None) -> MigrationContext:
    return MigrationContext.configure(
        connection, opts={"version_table": _TABLE, "version_table_schema": schema}
    )
