"""Which blobs of the offload store no job needs any more."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from headway.clock import SystemClock, from_ms
from headway.errors import ConfigError
from headway.job import JobId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.clock import Clock
    from headway.job import JobRecord
    from headway.offload.payloads import Blob, Offload

_DAY_MS: Final = 86_400_000
_BATCH: Final = 1000


class Pruned(Struct, frozen=True):
    """Of the blobs that are old enough: how many went, and how many stay because a job needs them."""

    removed: int
    kept: int


class _Limits(Protocol):
    @property
    def pull(self) -> object | None: ...
    @property
    def max_delay_ms(self) -> int | None: ...


class Jobs(Protocol):
    """What is asked of a carrier."""

    @property
    def capabilities(self) -> _Limits:
        """What it can do."""
        ...

    async def get(self, ids: Sequence[JobId]) -> list[JobRecord | None]:
        """Return the records, None for jobs that are not known."""
        ...


async def prune_offloaded(
    store: Offload,
    jobs: Jobs,
    *,
    older_than_ms: int,
    dry_run: bool = False,
    clock: Clock | None = None,
) -> Pruned:
    """Remove the blobs stored longer ago whose jobs the carrier no longer knows.

    At least a day, since a payload is stored before its job is accepted. A carrier that pushes may not know a job that
    still waits: there a blob without a known job stays for as long as a job may wait.
    """
    if older_than_ms < _DAY_MS:
        msg = "offload prune: younger than a day is never removed, since a payload is stored before its job is accepted"
        raise ConfigError(msg)
    limits = jobs.capabilities
    if limits.pull is None:  # it pushes, or one of those that it consists of may
        older_than_ms = max(older_than_ms, (limits.max_delay_ms or 0) + _DAY_MS)
    # The day has to be over for so long.
    last = from_ms((clock or SystemClock()).now_ms() - older_than_ms).date() - timedelta(days=1)
    removed = kept = 0
    for day in await store.days():
        if day > last.isoformat():
            break
        blobs = await store.blobs(day)
        for start in range(0, len(blobs), _BATCH):
            batch = blobs[start : start + _BATCH]
            records = await jobs.get([JobId(blob.job_id) for blob in batch])
            gone: list[Blob] = [blob for blob, record in zip(batch, records, strict=True) if record is None]
            if gone and not dry_run:
                await store.remove(gone)
            removed += len(gone)
            kept += len(batch) - len(gone)
    return Pruned(removed, kept)
