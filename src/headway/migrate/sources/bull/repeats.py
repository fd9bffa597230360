"""Repeatable jobs of Bull: a key and a time; all else is in the job of the next fire."""

from __future__ import annotations

from hashlib import md5
from typing import TYPE_CHECKING, Final

from headway.migrate.sources.bulls.entries import terms_of_job
from headway.migrate.sources.bulls.reading import json_object
from headway.migrate.sources.bulls.repeating import found_schedule, read_all, take_entry
from headway.migrate.sources.bulls.returning import held_entry, job_fields, next_fire, return_entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.migrate.found import FoundSchedule
    from headway.migrate.server import SourceServer
    from headway.migrate.source import Back, Taken, WantedSchedule
    from headway.migrate.sources.bulls.keys import Keys

_MOST_PARTS: Final = 12  # of a key between colons: names and ids may have some of their own


class Repeats:
    """Reads, takes and puts back the repeatable jobs of a queue."""

    def __init__(self, server: SourceServer, taker: str) -> None:
        self._server = server
        self._taker = taker

    async def read(self, keys: Keys) -> list[FoundSchedule]:
        """Return all of them."""
        now_ms = await self._now_ms()
        return [
            found_schedule(keys.queue, one, terms_of_job, now_ms, atomic=False)
            for one in await read_all(self._server, keys, job_ids)
        ]

    async def take(self, keys: Keys, wanted: WantedSchedule) -> Taken | None:
        """Take one."""
        return await take_entry(self._server, keys, self._taker, wanted)

    async def put_back(self, keys: Keys, back: Back, next_ms: int | None) -> bool:
        """Put one back."""
        held = await held_entry(self._server, keys, back.entry_id)
        if held is None or not held.job_id:
            return False
        now_ms = await self._now_ms()
        fires_ms = next_fire(held, back, next_ms, now_ms)
        taken_ms = int(float(held.score))
        job_id, changed = held.job_id, dict[str, "str | bytes"]()
        if not held.due or fires_ms != taken_ms:
            job_id = f"{held.job_id.rpartition(':')[0]}:{fires_ms}"
            options = json_object(held.job.get("opts", b"{}"), "options")
            changed = job_fields(held, fires_ms=fires_ms, now_ms=now_ms, job_id=job_id, options=options)
        return await return_entry(
            self._server,
            keys,
            self._taker,
            back,
            held,
            fires_ms=fires_ms,
            job_id=job_id,
            changed=changed,
        )

    async def _now_ms(self) -> int:
        seconds, micros = await self._server.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000


def job_ids(key: str, score: str, fields: Mapping[str, str]) -> Sequence[str]:
    """Return the ids that the job of an entry may have.

    They hold a digest of name, id and key; the key is `name:id:end date:...`, and does not say which of its colons
    are those.
    """
    del fields
    parts = key.split(":")[:_MOST_PARTS]
    digest = _md5(key)
    found: dict[str, None] = {}
    for first in range(1, len(parts)):
        name = ":".join(parts[:first])
        for second in range(first, len(parts)):
            own = ":".join(parts[first : second + 1])
            found[f"repeat:{_md5(f'{name}{own}:{digest}')}:{score}"] = None
    return list(found)


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
