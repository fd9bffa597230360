"""The versions of the tables, applied by Alembic."""
