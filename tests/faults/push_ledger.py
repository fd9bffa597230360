"""The check at the end of a push run: each accepted job has reached its end, once, and its record is plausible."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from headway.clock import SystemClock
from headway.errors import BrokerUnavailableError
from headway.guards.document import entry_key, from_entry
from headway.guards.url import from_url
from headway.job import JobState
from tests.faults.jobs import lines_of
from tests.faults.push_witness import Chain, chains_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.guards.base import Entry
    from headway.job import JobId
    from tests.faults.push_place import Place

_PAGE = 500
_PATIENCE = 60.0  # seconds


class PushLedger(Struct, frozen=True):
    """What a run came to. `wrong` has what is wrong of each job."""

    accepted: int
    states: dict[str, int]
    lost: list[str]
    twice: list[str]
    wrong: dict[str, list[str]]
    starts: int
    ends: int
    crashes: int
    epochs: int

    def table(self) -> str:
        """Show it in a few lines."""
        lines = [
            f"accepted {self.accepted}: {', '.join(f'{state} {n}' for state, n in sorted(self.states.items()))}",
            f"lost {len(self.lost)}, more than one terminal transition {len(self.twice)}, wrong {len(self.wrong)}",
            f"leases taken {self.epochs}, crashes {self.crashes}, handlers started {self.starts}, ended {self.ends}",
        ]
        lines += [f"{job}: {'; '.join(faults)}" for job, faults in list(self.wrong.items())[:10]]
        return "\n".join(lines)


async def unfinished(place: Place, ids: Sequence[JobId], *, unknown: bool = True) -> list[JobId]:
    """Return those of the jobs that have not reached their end; with `unknown` also those that nobody has seen yet."""
    entries = await _entries(place, ids)
    return [
        job_id
        for job_id, entry in entries.items()
        if (unknown if entry is None else not from_entry(entry).state.terminal)
    ]


async def known(place: Place, ids: Sequence[JobId]) -> list[JobId]:
    """Return those of the jobs that the guard knows."""
    return [job_id for job_id, entry in (await _entries(place, ids)).items() if entry is not None]


async def _entries(place: Place, ids: Sequence[JobId]) -> dict[JobId, Entry | None]:
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return await _entries_now(place, ids)
        except BrokerUnavailableError:
            # A frozen receiver may have the store's file locked.
            if time.monotonic() > give_up:
                raise


async def _entries_now(place: Place, ids: Sequence[JobId]) -> dict[JobId, Entry | None]:
    store = from_url(place.guard, namespace=place.namespace)
    await store.open()
    entries: list[Entry | None] = []
    try:
        for first in range(0, len(ids), _PAGE):
            keys = [entry_key(job_id) for job_id in ids[first : first + _PAGE]]
            entries += await store.read(keys, now_ms=SystemClock().now_ms())
    finally:
        await store.close()
    return dict(zip(ids, entries, strict=True))


async def read_ledger(place: Place, accepted: Sequence[JobId]) -> PushLedger:
    """Read what the guard, its witness and the handlers say."""
    kept = await _entries(place, accepted)
    effects: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines_of(place.effects):
        effects[line["job"]][line["what"]] += 1
    chains = chains_of(place.witness)
    documents = [from_entry(entry) for entry in kept.values() if entry is not None]
    lost = [job for job, entry in kept.items() if entry is None or not from_entry(entry).state.terminal]
    found = {
        job_id: _faults(entry, chains[entry_key(job_id)], effects[job_id]) for job_id, entry in kept.items()
    }
    for job in lost[:10]:
        found[job].append(await asyncio.to_thread(place.waiting, job))
    return PushLedger(
        accepted=len(accepted),
        states=dict(Counter(str(document.state) for document in documents)),
        lost=list(lost),
        twice=[
            job for job, faults in found.items() if any("terminal transitions" in fault for fault in faults)
        ],
        wrong={job: faults for job, faults in found.items() if faults},
        starts=sum(one["start"] for one in effects.values()),
        ends=sum(one["end"] for one in effects.values()),
        crashes=sum(document.crashes for document in documents),
        epochs=sum(document.epoch for document in documents),
    )


def _faults(entry: Entry | None, chain: Chain, effects: Counter[str]) -> list[str]:
    if entry is None:
        return ["lost: the guard does not know it"]
    document = from_entry(entry)
    if not document.state.terminal:
        return [f"lost: still {document.state}, turn {document.turn}, epoch {document.epoch}"]
    checks = {
        f"attempt {document.attempt}, crashes {document.crashes}, epoch {document.epoch}": (
            0 <= document.crashes <= document.attempt <= document.epoch
        ),
        f"handler started {effects['start']} times under {document.epoch} leases": (
            effects["start"] <= document.epoch
        ),
        f"succeeded, and its handler ended {effects['end']} times": (
            document.state is not JobState.SUCCEEDED or 1 <= effects["end"] <= document.epoch
        ),
        f"{document.state}, and no lease": document.epoch > 0,
    }
    return [text for text, holds in checks.items() if not holds] + chain.faults(entry)
