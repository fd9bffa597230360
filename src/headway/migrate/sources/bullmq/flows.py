"""Which job waits for a job, in a flow of BullMQ. Flows lead through several queues and, in bad data, in circles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.errors import BrokerRefusedError
from headway.migrate.sources.bulls.reading import UnreadableError, shown

if TYPE_CHECKING:
    from headway.migrate.server import SourceServer
    from headway.migrate.sources.bulls.keys import Keys

_DEEPEST: Final = 50  # ancestors
_REMEMBERED: Final = 1000


class Flows:
    """Looks up parents, and remembers those of late: their children come in a row."""

    def __init__(self, server: SourceServer) -> None:
        self._server = server
        self._above: dict[str, bool] = {}  # whether a parent's own ancestors come to an end

    async def parent_of(self, keys: Keys, job_id: str, parent_key: str) -> str:
        """Return the id of the job that waits for this one, with its queue before it where that is another.

        Empty: nobody does. UnreadableError when the flow leads back to itself, or is none.
        """
        key = keys.of(job_id)
        if not await self._waits(parent_key, key):
            return ""
        if parent_key not in self._above:
            if len(self._above) >= _REMEMBERED:
                self._above.clear()
            self._above[parent_key] = await self._ends(key, parent_key)
        if parent_key == key or not self._above[parent_key]:
            msg = f"its flow leads in a circle, or through more than {_DEEPEST} jobs"
            raise UnreadableError(msg)
        return parent_key.removeprefix(keys.head).removeprefix(f"{keys.prefix}:")

    async def _waits(self, parent_key: str, key: str) -> bool:
        try:
            return bool(await self._server.command("SISMEMBER", f"{parent_key}:dependencies", key))
        except BrokerRefusedError:  # something else lies there
            return False

    async def _ends(self, key: str, parent_key: str) -> bool:
        seen = {key}
        current = parent_key
        for _ in range(_DEEPEST):
            if current in seen:
                return False
            seen.add(current)
            try:
                above = await self._server.command("HGET", current, "parentKey")
            except BrokerRefusedError:
                return True
            if not above:
                return True
            current = shown(above)
        return False
