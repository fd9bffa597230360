"""An app with a spool, whose carriers fail when they are told to, and whose jobs come home when the test says so."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from headway import Headway
from headway.brokers.base import BrokerSettings, JobQuery, QueueWant, Settlement
from headway.brokers.url import from_url, pulled
from headway.job import Succeeded, WorkerId
from headway.testing import FaultyBroker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from pathlib import Path

    import pytest

    from headway.app.task import Task
    from headway.brokers.base import Capabilities
    from headway.job import JobRecord
    from headway.routing.failover.breaker import Breaker
    from headway.routing.failover.failover import Failover


class Faulty(FaultyBroker):
    """As it is, knows who holds keys, and keeps figures where they are wanted."""

    keeps_figures = False

    @property
    def capabilities(self) -> Capabilities:
        able = self.inner.capabilities
        figures = able.figures if self.keeps_figures else None
        return replace(super().capabilities, keys=able.keys, figures=figures)


class Scene:
    """The app and its carriers, by name."""

    def __init__(self, app: Headway, carriers: dict[str, Faulty]) -> None:
        self.app = app
        self.carriers = carriers
        self.send: Task[Any, Any] = app.find_task("send")

    @property
    def main(self) -> FaultyBroker:
        return self.carriers["main"]

    @property
    def failover(self) -> Failover:
        found = self.app.failover
        assert found is not None
        return found

    def breaker(self, name: str = "main") -> Breaker:
        return self.failover.carriers[name].breaker

    async def flush(self, name: str = "main") -> int:
        """Bring the jobs of one carrier home, as far as it takes them."""
        return await self.failover.flushers[name].flush()

    async def waiting(self) -> int:
        contents = await self.failover.contents()
        return contents.jobs - contents.parked

    async def on(self, name: str = "main") -> list[JobRecord]:
        """Return the jobs that a carrier has, in their order."""
        return (await self.carriers[name].inner.list(JobQuery(), limit=1000)).jobs

    async def run(self, name: str = "main", queues: Sequence[str] = ("default",)) -> list[str]:
        """Run what waits on a carrier, successfully; return the ids in the order in which they were handed out."""
        carrier = self.carriers[name].inner
        ids: list[str] = []
        while True:
            claimed = await carrier.claim(
                [QueueWant(queue, 100) for queue in queues], worker=WorkerId("w"), limit=100, lease_ms=60_000
            )
            if not claimed.deliveries:
                return ids
            leases = [one.lease for one in claimed.deliveries]
            ids += [one.job_id for one in leases]
            await carrier.settle([Settlement(one, Succeeded()) for one in leases])


@asynccontextmanager
async def scene(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    names: Sequence[str] = ("main",),
    figures: bool = False,
    **settings: Any,
) -> AsyncGenerator[Scene]:
    """Open an app on SQLite files. Nothing happens in the background."""
    monkeypatch.setattr("headway.routing.failover.failover.Failover.start", lambda _: None)
    urls = {name: f"sqlite:///{folder / name}.db" for name in names}
    carriers = {name: Faulty(pulled(from_url(url, BrokerSettings("shop")))) for name, url in urls.items()}
    for carrier in carriers.values():
        carrier.keeps_figures = figures
    given: dict[str, Any] = {
        "breaker_timeout": 30,
        "breaker_pause": 60,
        "spool": f"sqlite:///{folder / 'spool.db'}",
    } | settings
    if len(urls) > 1:
        given["carriers"] = urls
    app = Headway("shop", carrier=dict(carriers), **given)

    @app.task(name="send")
    async def send(number: int = 0) -> None: ...

    async with app:
        yield Scene(app, carriers)
