"""Where a carrier keeps its jobs in one test, and how to open a broker on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headway.brokers.base import BrokerSettings, Retention
from headway.brokers.url import from_url, pulled
from tests.conformance.pushed import Hub, PushedCarrier
from tests.conformance.routed import RoutedCarrier

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from headway.brokers.base import Carrier
    from headway.testing import FakeClock

PULLED = ("sqlite", "redis", "redis-cluster")
ROUTED = {  # two carriers behind a route of 50/50
    "sqlite+sqlite": ("sqlite", "sqlite"),
    "redis+sqlite": ("redis", "sqlite"),
    "redis+cloudtasks": ("redis", "cloudtasks"),
}
CARRIERS = (*PULLED, "cloudtasks", *ROUTED)


@dataclass(frozen=True, slots=True)
class Store:
    """A carrier's address and the namespace of one test."""

    carrier: str
    url: str
    namespace: str
    clock: FakeClock
    hub: Hub | None = None  # of a carrier that pushes
    parts: tuple[Store, ...] = ()  # of one that consists of several

    def broker(
        self,
        *,
        namespace: str | None = None,
        retention: Retention | None = None,
        record_events: bool = False,
        max_log_lines: int = 1000,
    ) -> Carrier:
        """Make a broker, not open yet."""
        settings = BrokerSettings(
            namespace=namespace or self.namespace,
            retention=retention or Retention(),
            record_events=record_events,
            max_log_lines=max_log_lines,
        )
        if self.parts:
            return RoutedCarrier(
                {f"part{n}": part.opened_with(settings) for n, part in enumerate(self.parts)}
            )
        return self.opened_with(settings)

    def opened_with(self, settings: BrokerSettings) -> Carrier:
        """Make a broker of a carrier that is one."""
        if self.hub is not None:
            return PushedCarrier(self.hub, settings)
        return pulled(from_url(self.url, settings, clock=self.clock))


def store_url(request: pytest.FixtureRequest, carrier: str, folder: Path) -> str:
    """Tell the URL of a carrier; starts the session's server when it is needed for the first time."""
    match carrier:
        case "sqlite":
            return f"sqlite:///{folder / 'headway.db'}"
        case "redis":
            return str(request.getfixturevalue("redis_server").url)
        case "redis-cluster":
            return str(request.getfixturevalue("redis_cluster").url)
        case _:
            msg = f"no store is known for carrier {carrier!r}"
            raise ValueError(msg)
