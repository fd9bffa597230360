"""Bull, versions 3 and 4."""

from __future__ import annotations

from headway.migrate.sources.bull.source import BullSource

__all__ = ["BullSource"]
