"""BullMQ, versions 5 and 6, on Redis."""

from __future__ import annotations

from headway.migrate.sources.bullmq.source import BullmqSource

__all__ = ["BullmqSource"]
