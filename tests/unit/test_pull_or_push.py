"""A carrier either has workers or pushes; whoever takes one for the other is told what to run instead."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from headway import Headway
from headway.brokers.base import BrokerSettings, Capabilities
from headway.brokers.url import from_url, pulled, pushed
from headway.errors import ConfigError
from headway.runtime.worker import Worker

if TYPE_CHECKING:
    from pathlib import Path

    from headway.brokers.base import PushCarrier, Store


class Pushing:
    """As much of a push carrier as opening an app needs."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("cloudtasks", push=cast("PushCarrier", self))

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def enqueue(self, jobs: object) -> object: ...


def test_each_kind_is_returned_as_what_it_is() -> None:
    pulling = from_url("sqlite:///x.db", BrokerSettings("app"))
    pushing = cast("Store", Pushing())
    assert pulled(pulling) is pulling
    assert cast("object", pushed(pushing)) is pushing


def test_the_other_kind_is_refused_with_what_to_run_instead(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cloudtasks pushes its jobs.*`headway push`"):
        pulled(cast("Store", SimpleNamespace(capabilities=Pushing().capabilities)))
    with pytest.raises(ConfigError, match=r"sqlite pushes no jobs.*`headway worker`"):
        pushed(from_url(f"sqlite:///{tmp_path}/x.db", BrokerSettings("app")))


async def test_an_app_offers_its_carrier_as_what_it_is(tmp_path: Path) -> None:
    pulling = Headway("app", url=f"sqlite:///{tmp_path}/x.db")
    async with pulling:
        assert pulling.pull_carrier is pulling.carrier
        with pytest.raises(ConfigError, match="headway worker"):
            _ = pulling.push_carrier
    pushing = Headway("app", carrier=cast("Store", Pushing()))
    async with pushing:
        assert pushing.push_carrier is pushing.carrier
        with pytest.raises(ConfigError, match="headway push"):
            _ = pushing.pull_carrier
        with pytest.raises(ConfigError, match="headway push"):
            Worker(pushing)
