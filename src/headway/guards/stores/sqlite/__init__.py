"""Entries in a SQLite file."""

from __future__ import annotations

from headway.guards.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
