"""Job schedulers of BullMQ, and the repeatable jobs that version 5 still has beside them."""

from __future__ import annotations

from hashlib import md5
from typing import TYPE_CHECKING, Any

from headway.migrate.sources.bulls.entries import terms_of_hash, terms_of_job
from headway.migrate.sources.bulls.reading import json_object, whole
from headway.migrate.sources.bulls.repeating import found_schedule, read_all, take_entry
from headway.migrate.sources.bulls.returning import (
    held_entry,
    job_fields,
    next_fire,
    options_held,
    return_entry,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.migrate.found import FoundSchedule
    from headway.migrate.server import SourceServer
    from headway.migrate.source import Back, Taken, WantedSchedule
    from headway.migrate.sources.bulls.entries import Repeating, Terms
    from headway.migrate.sources.bulls.keys import Keys
    from headway.migrate.sources.bulls.returning import Held


class Schedulers:
    """Reads, takes and puts back the repeating entries of a queue."""

    def __init__(self, server: SourceServer, taker: str) -> None:
        self._server = server
        self._taker = taker

    async def read(self, keys: Keys) -> list[FoundSchedule]:
        """Return all of them."""
        now_ms = await self._now_ms()
        return [
            found_schedule(keys.queue, one, _terms, now_ms, atomic=_is_scheduler(one.fields))
            for one in await read_all(self._server, keys, _job_ids)
        ]

    async def take(self, keys: Keys, wanted: WantedSchedule) -> Taken | None:
        """Take one."""
        return await take_entry(self._server, keys, self._taker, wanted)

    async def put_back(self, keys: Keys, back: Back, next_ms: int | None) -> bool:
        """Put one back."""
        held = await held_entry(self._server, keys, back.entry_id)
        if held is None:
            return False
        now_ms = await self._now_ms()
        fires_ms = next_fire(held, back, next_ms, now_ms)
        taken_ms = int(float(held.score))
        job_id = f"repeat:{held.key}:{fires_ms}"
        changed: Mapping[str, str | bytes] = {}
        if held.due and fires_ms == taken_ms:
            job_id = held.job_id
        else:
            changed = _fields(held, fires_ms, now_ms, job_id)
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


def _is_scheduler(fields: Mapping[str, str]) -> bool:
    return bool(fields.get("ic"))  # repeatable jobs have no count in their hash


def _terms(one: Repeating) -> Terms:
    return terms_of_hash(one) if _is_scheduler(one.fields) else terms_of_job(one)


def _job_ids(key: str, score: str, fields: Mapping[str, str]) -> Sequence[str]:
    plain = f"repeat:{key}:{score}"
    if _is_scheduler(fields) or ":" not in key:
        return (plain,)
    # Keys of older versions have colons; the id holds a digest of them, and of the name.
    name = fields.get("name") or key.partition(":")[0]
    return (plain, f"repeat:{_md5(name + _md5(key))}:{score}")


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def _fields(held: Held, fires_ms: int, now_ms: int, job_id: str) -> Mapping[str, str | bytes]:
    made = options_held(held)
    if made is None:  # a scheduler has all that a job is made of
        template = json_object(held.fields.get("opts", "{}"), "options")
        repeat: dict[str, Any] = {"count": whole(held.fields.get("ic", 1), "count")}
        for ours, theirs in (("pattern", "pattern"), ("tz", "tz"), ("every", "every")):
            if value := held.fields.get(theirs):
                repeat[ours] = int(value) if ours == "every" else value
        made = {**template, "repeat": repeat, "repeatJobKey": held.key}
    fields = job_fields(held, fires_ms=fires_ms, now_ms=now_ms, job_id=job_id, options=made)
    if not held.due:
        fields["rjk"] = held.key
        fields["name"] = held.fields.get("name", "") or held.job.get("name", b"")
        fields["data"] = held.fields.get("data", "") or held.job.get("data", b"{}")
    return fields
