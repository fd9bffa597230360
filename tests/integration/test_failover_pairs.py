"""For each pair of carriers: the first does not answer, the second takes over what it may, and no job is on both."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from itertools import product
from typing import TYPE_CHECKING, Final, cast

import pytest
from msgspec.structs import replace

from headway.brokers.base import BrokerSettings, QueueWant, Settlement
from headway.brokers.url import from_url
from headway.config import load_settings
from headway.errors import BrokerUnavailableError
from headway.job import JobState, NewJob, Succeeded, WorkerId, new_job_id
from headway.routing.carriers.broker import RoutedBroker
from headway.routing.failover.failover import Failover
from headway.routing.following import Following
from headway.routing.routes import route_of
from headway.testing import FakeClock
from tests.conformance.pushed import Hub, PushedCarrier

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headway.brokers.base import Capabilities, Carrier, Enqueued, Store
    from headway.job import JobId

KINDS: Final = ("sqlite", "redis", "cloudtasks")
JOBS: Final = 24


class Cut:
    """A carrier whose enqueues are applied, or not, and are never answered while it is cut."""

    def __init__(self, store: Carrier) -> None:
        self.store = store
        self.cut = ""
        self.asked = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.store.capabilities, starter=None, blocking=None)

    async def enqueue(self, jobs: Sequence[NewJob]) -> list[Enqueued]:
        self.asked += 1
        if self.cut != "before":
            answers = await self.store.enqueue(jobs)
            if not self.cut:
                return answers
        msg = "cut"
        raise BrokerUnavailableError(msg)


async def _carrier(
    kind: str,
    number: int,
    folder: Path,
    redis_url: str,
    namespace: str,
    clock: FakeClock,
    stack: AsyncExitStack,
) -> Cut:
    settings = BrokerSettings(f"{namespace}-{number}")
    if kind == "cloudtasks":
        own = folder / str(number)
        own.mkdir()
        hub = Hub(clock, own)
        await hub.open()
        stack.push_async_callback(hub.close)
        return Cut(cast("Carrier", PushedCarrier(hub, settings)))
    url = redis_url if kind == "redis" else f"sqlite:///{folder}/{number}.db"
    return Cut(cast("Carrier", from_url(url, settings, clock=clock)))


async def _run(cut: Cut) -> list[JobId]:
    """Run what waits there; return the ids of the jobs that were started."""
    ran: list[JobId] = []
    while True:
        claimed = await cut.store.claim(
            [QueueWant("mixed", 100)], worker=WorkerId("w"), limit=100, lease_ms=60_000
        )
        if not claimed.deliveries:
            return ran
        ran += [one.lease.job_id for one in claimed.deliveries]
        await cut.store.settle([Settlement(one.lease, Succeeded()) for one in claimed.deliveries])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("one", "other"), list(product(KINDS, KINDS)), ids=str)
async def test_a_job_is_on_one_carrier_and_runs_once(
    one: str, other: str, when: str, tmp_path: Path, redis_url: str, namespace: str
) -> None:
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        cuts = {
            name: await _carrier(kind, number, tmp_path, redis_url, namespace, clock, stack)
            for number, (name, kind) in enumerate({"east": one, "west": other}.items())
        }
        stores = {name: cast("Store", cut) for name, cut in cuts.items()}
        settings = load_settings(
            {"spool": f"sqlite:///{tmp_path}/spool.db", "breaker_errors": 1, "breaker_pause": 3600},
            environ={},
        )
        failover = Failover("shop", stores, settings, clock)
        following = Following(("east", "west"), {"mixed": route_of("mixed", {"east": 50, "west": 50})}, None)
        broker = RoutedBroker(failover.stores, failover.around(following))
        await failover.open()
        stack.push_async_callback(failover.close)
        await stack.enter_async_context(broker)

        cuts["east"].cut = when
        accepted: list[JobId] = []
        for _ in range(JOBS):
            [answer] = await broker.enqueue_marked([NewJob(new_job_id(), "task", "mixed", b"x")])
            accepted.append(answer.id)
        assert cuts["east"].asked == 1  # then its breaker was open
        assert (await failover.contents()).jobs == 1
        ran = [*await _run(cuts["east"]), *await _run(cuts["west"])]
        assert len(ran) == JOBS - (1 if when == "before" else 0)

        cuts["east"].cut = ""
        assert await failover.flushers["east"].look()
        assert (await failover.flush()).jobs == 0
        ran += [*await _run(cuts["east"]), *await _run(cuts["west"])]
        assert Counter(ran) == Counter(accepted)
        places = [await cuts[name].store.get(accepted) for name in ("east", "west")]
        for east, west in zip(*places, strict=True):
            assert (east is None) != (west is None)
            record = east or west
            assert record is not None
            assert (record.state, record.epoch) == (JobState.SUCCEEDED, 1)
