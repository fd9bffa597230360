"""The parts of live events, opened and closed together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.server.live.board import Board
from headway.server.live.hub import Hub

if TYPE_CHECKING:
    from headway.server.services.app_services import AppServices


class Live:
    """Live events of one server."""

    def __init__(self, services: AppServices) -> None:
        self.hub = Hub(services.shared)
        self.board = Board(
            services.queues, services.workers, services.rollouts, services.migrations, self.hub.ring_soon
        )

    async def open(self) -> None:
        """Begin to read what happens."""
        await self.hub.open()
        self.board.start()

    async def close(self) -> None:
        """End all streams, and read no more."""
        await self.board.stop()
        await self.hub.close()
