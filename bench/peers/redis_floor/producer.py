"""A hundred jobs a Lua call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import redis

from bench.inside.producer import BlockingProducer
from bench.peers.redis_floor.scripts import ENQUEUE

if TYPE_CHECKING:
    from collections.abc import Sequence

_BATCH = 100


class LimitProducer(BlockingProducer):
    """No peer, but the least that any peer on Redis must spend."""

    async def open(self) -> None:
        self._client = redis.Redis.from_url(self.settings.url)
        self._script = self._client.register_script(ENQUEUE)

    def one_blocking(self, number: int, text: str, queue: str) -> None:
        self._script(keys=[queue], args=[number, text])

    def many_blocking(self, numbers: Sequence[int], text: str, queue: str) -> None:
        for start in range(0, len(numbers), _BATCH):
            args: list[int | str] = []
            for number in numbers[start : start + _BATCH]:
                args += (number, text)
            self._script(keys=[queue], args=args)


ADAPTER = LimitProducer
