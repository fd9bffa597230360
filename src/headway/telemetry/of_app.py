"""What one process says of a whole app: its jobs by state, what becomes of them, routes, roll-outs and records."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from headway.app.rollouts import figures_of
from headway.errors import HeadwayError
from headway.figures.values import COARSE_KEPT_MS, MINUTE_MS, OTHER, Counts
from headway.routing.changing import control_carrier, read_routes
from headway.routing.failover.breaker import BreakerState
from headway.routing.keeping import read_listed, read_rollout
from headway.telemetry.families import Labels, of_counts, of_values
from headway.telemetry.names import OF_APP, OF_FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric as Family

    from headway.app.app import Headway
    from headway.brokers.base import Store
    from headway.records import RecordStore

MAX_KEYS: Final = 2000
"""Combinations of queue, task and carrier that are kept apart; further ones are added up as `(other)`."""
MAX_QUEUES: Final = 1000
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_AGAIN_MS: Final = 3 * MINUTE_MS
"""Figures of so long ago are read again: processes write theirs seconds later."""
_PATIENCE: Final = 4.0  # seconds for one carrier
_BY_NAME: Final = {metric.name: metric for metric in OF_APP}

Values = dict[tuple[str, ...], float]


class AppMetrics:
    """Reads an app's metrics when they are scraped. The app must be open on the running loop.

    Counters count from the minute in which this object was made: what became of jobs is read from the app's figures,
    and so is known of all of its processes.
    """

    def __init__(self, app: Headway, records: RecordStore | None = None) -> None:
        """`records`, if there are some, must be open."""
        self._app = app
        self._records = records
        self._counted: dict[Labels, Counts] = {}  # of minutes that are over
        self._over = app.clock.now_ms() // MINUTE_MS  # the first minute that is not
        self._lock = asyncio.Lock()

    async def text(self) -> bytes:
        """Return the metrics as Prometheus scrapes them; of what cannot be asked there are none."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Made(await self.gathered()))
        return generate_latest(registry)

    async def gathered(self) -> list[Family]:
        """Return the metrics, one scrape after the other."""
        async with self._lock:
            return await self._families()

    async def _families(self) -> list[Family]:
        """Return the metrics; never raises for what does not answer."""
        carriers = self._app.carriers
        figures, states, routes, records, spooled = await asyncio.gather(
            self._figures(), self._jobs(carriers), self._routes(carriers), self._recorded(), self._spooled()
        )
        values = states | routes | records | spooled
        made: list[Family] = []
        if figures is not None:
            made += of_counts(OF_APP[: len(OF_FIGURES)], figures)
        made += [
            of_values(metric, values[metric.name])
            for metric in OF_APP[len(OF_FIGURES) :]
            if metric.name in values
        ]
        return made

    # --- figures ------------------------------------------------------------------------------------------------

    async def _figures(self) -> dict[Labels, Counts] | None:
        store = figures_of(self._app.carriers)
        if store is None:
            return None
        now = self._app.clock.now_ms()
        over = max(self._over, (now - _AGAIN_MS) // MINUTE_MS)
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await store.figures(
                    max(self._over * MINUTE_MS, now - COARSE_KEPT_MS), now + MINUTE_MS
                )
        except (HeadwayError, TimeoutError):
            return self._counted or None
        recent: dict[Labels, Counts] = {}
        for row in found.rows:
            _add(
                self._counted if row.minute < over else recent, (row.queue, row.task, row.carrier), row.counts
            )
        self._over = over
        total = dict(self._counted)
        for labels, counts in recent.items():
            _add(total, labels, counts)
        return total

    # --- carriers -----------------------------------------------------------------------------------------------

    async def _jobs(self, carriers: Any) -> dict[str, Values]:  # noqa: ANN401 - a mapping
        values: dict[str, Values] = {
            name: {}
            for name in (
                "headway_jobs",
                "headway_oldest_ready_seconds",
                "headway_queue_paused",
                "headway_carrier_up",
                "headway_workers",
            )
        }
        await asyncio.gather(*(self._jobs_of(name, carrier, values) for name, carrier in carriers.items()))
        return values

    async def _jobs_of(self, name: str, carrier: Store, values: dict[str, Values]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                counted, workers = await asyncio.gather(carrier.counts(), carrier.workers())
        except (HeadwayError, TimeoutError):
            values["headway_carrier_up"][name,] = 0
            return
        values["headway_carrier_up"][name,] = 1
        values["headway_workers"][name,] = len(workers)
        now = self._app.clock.now_ms()
        for number, one in enumerate(counted):
            queue = one.queue if number < MAX_QUEUES else OTHER
            for state, count in one.counts.items():
                key = queue, name, state.value
                values["headway_jobs"][key] = values["headway_jobs"].get(key, 0) + count
            since = one.oldest_ready_ms
            age = 0.0 if since is None else max(0, now - since) / 1000
            oldest = values["headway_oldest_ready_seconds"]
            oldest[queue, name] = max(oldest.get((queue, name), 0.0), age)
            if queue != OTHER:
                values["headway_queue_paused"][queue, name] = int(one.paused)

    # --- routes and roll-outs -----------------------------------------------------------------------------------

    async def _routes(self, carriers: Any) -> dict[str, Values]:  # noqa: ANN401 - a mapping
        control = control_carrier(carriers)
        if control is None or len(carriers) == 1:
            return {}
        values: dict[str, Values] = {
            name: {}
            for name in (
                "headway_route_weight",
                "headway_routes_version",
                "headway_rollout_state",
                "headway_rollout_percent",
            )
        }
        try:
            async with asyncio.timeout(_PATIENCE):
                stored = await read_routes(control[1], self._app.clock)
                values["headway_routes_version"][()] = stored.table.version
                for queue, route in stored.table.routes.items():
                    for carrier in carriers:
                        values["headway_route_weight"][queue, carrier] = dict(route.weights).get(carrier, 0)
                for queue in (await read_listed(control[1])).queues:
                    found = await read_rollout(control[1], queue)
                    if found is not None:
                        values["headway_rollout_state"][queue, found.rollout.status.value] = 1
                        values["headway_rollout_percent"][queue,] = found.rollout.percent
        except (HeadwayError, TimeoutError):
            pass
        return values

    # --- records ------------------------------------------------------------------------------------------------

    async def _recorded(self) -> dict[str, Values]:
        if self._records is None:
            return {}
        try:
            async with asyncio.timeout(_PATIENCE):
                feeds = await self._records.feeds()
        except (HeadwayError, TimeoutError):
            return {"headway_records_up": {(): 0}}
        now = self._app.clock.now_ms()
        return {
            "headway_records_up": {(): 1},
            "headway_records_lag_seconds": {
                (one.carrier,): max(0, now - one.seen_ms) / 1000 for one in feeds if one.seen_ms
            },
            "headway_records_gaps_total": {(one.carrier,): one.gaps for one in feeds},
        }

    # --- the spool of this host ---------------------------------------------------------------------------------

    async def _spooled(self) -> dict[str, Values]:
        failover = self._app.failover
        if failover is None:
            return {}
        try:
            async with asyncio.timeout(_PATIENCE):
                contents = await failover.contents()
        except (HeadwayError, TimeoutError):
            return {}
        waiting: Values = {}
        for number, lane in enumerate(contents.lanes):
            key = (lane.queue if number < MAX_QUEUES else OTHER), lane.carrier
            waiting[key] = waiting.get(key, 0) + lane.jobs
        now, oldest = self._app.clock.now_ms(), contents.oldest_ms
        away = [one.carrier for one in contents.breakers if one.state == BreakerState.OPEN]
        return {
            "headway_spool_jobs": waiting,
            "headway_spool_parked_jobs": {(): contents.parked},
            "headway_spool_oldest_seconds": {(): 0.0 if oldest is None else max(0, now - oldest) / 1000},
            "headway_spool_bytes": {(): contents.size},
            "headway_spool_flushed_total": {(): contents.flushed},
            "headway_breakers_open": {(name,): away.count(name) for name in self._app.carriers},
        }


class OfLoop(Collector):
    """Collects for a thread that serves metrics what the loop of the app tells."""

    def __init__(self, metrics: AppMetrics, loop: asyncio.AbstractEventLoop) -> None:
        self._metrics = metrics
        self._loop = loop

    def collect(self) -> Iterator[Family]:
        """Yield the metrics; not to be called on the loop."""
        asked = asyncio.run_coroutine_threadsafe(self._metrics.gathered(), self._loop)
        yield from asked.result(timeout=3 * _PATIENCE)


class _Made(Collector):
    """Metrics that are there already."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        """Yield them."""
        yield from self._families


def _add(counts: dict[Labels, Counts], labels: Labels, more: Counts) -> None:
    if labels not in counts and len(counts) >= MAX_KEYS:
        labels = (OTHER, OTHER, labels[2])
    earlier = counts.get(labels)
    counts[labels] = more if earlier is None else earlier.merged(more)
