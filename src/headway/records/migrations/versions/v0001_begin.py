"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    an_id = sa.String(20, collation="C").with_variant(sa.String(20), "sqlite")
    op.create_table(
        "job",
        sa.Column("id", an_id, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("task", "queue", "carrier", "state")),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("crashes", sa.Integer, nullable=False),
        *(
            sa.Column(name, sa.BigInteger)
            for name in ("due_ms", "expires_ms", "started_ms", "finished_ms", "removed_ms")
        ),
        sa.Column("worker", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("progress", sa.Float),
        sa.Column("progress_message", sa.Text, nullable=False),
        *(
            sa.Column(name, sa.Text)
            for name in ("arguments", "headers", "tags", "error_type", "error_message", "error_group")
        ),
        sa.Column("route_version", sa.BigInteger),
        sa.Column("first_carrier", sa.Text, nullable=False),
        sa.Column("logs", sa.Text),
    )
    for name in ("task", "queue", "carrier", "state"):
        op.create_index(f"job_{name}", "job", [name, "id"])
    op.create_index(
        "job_error",
        "job",
        ["error_group", "id"],
        postgresql_where=sa.text("error_group IS NOT NULL"),
        sqlite_where=sa.text("error_group IS NOT NULL"),
    )
    for name, column in (
        ("job_state_task", "task"),
        ("job_state_queue", "queue"),
        ("job_ended", "finished_ms"),
    ):
        op.create_index(
            name,
            "job",
            ["state", column, "id"],
            postgresql_where=sa.text("state <> 'succeeded'"),
        )
    op.create_index(
        "job_dead",
        "job",
        ["error_group", "id"],
        postgresql_where=sa.text("state = 'failed'"),
        sqlite_where=sa.text("state = 'failed'"),
    )
    op.create_index("job_finished", "job", ["finished_ms", "id"])
    op.create_table(
        "execution",
        sa.Column("job_id", an_id, primary_key=True),
        sa.Column("epoch", sa.BigInteger, primary_key=True),
        sa.Column("carrier", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("worker", sa.Text),
        *(sa.Column(name, sa.BigInteger) for name in ("due_ms", "started_ms", "ended_ms")),
        sa.Column("outcome", sa.Text),
        sa.Column("superseded_ms", sa.BigInteger),
        *(
            sa.Column(name, sa.Text)
            for name in ("error_type", "error_message", "error_traceback", "error_group")
        ),
    )
    op.create_table(
        "happening",
        sa.Column("job_id", an_id, primary_key=True),
        sa.Column("at_ms", sa.BigInteger, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("carrier", sa.Text, primary_key=True),
        sa.Column("epoch", sa.BigInteger, primary_key=True),
        sa.Column("worker", sa.Text),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_table(
        "term",
        sa.Column("term", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("job_id", an_id, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("term_job", "term", ["job_id"])
    op.create_table(
        "error_group",
        sa.Column("fingerprint", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("type", "place", "message")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("first_ms", "last_ms")),
    )
    op.create_index("error_group_last", "error_group", ["last_ms"])
    op.create_table(
        "feed",
        sa.Column("carrier", sa.Text, primary_key=True),
        sa.Column("cursor", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("gaps", sa.Integer, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "note",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
