"""Entries in a table of a PostgreSQL."""

from __future__ import annotations

from headway.guards.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
