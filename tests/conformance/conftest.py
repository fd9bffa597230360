"""Fixtures of the suite: a store for each carrier, a clock that stands still, and an open broker."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from headway.testing import FakeClock
from tests.conformance.needs import has
from tests.conformance.pushed import Hub
from tests.conformance.scene import Scene
from tests.conformance.store import CARRIERS, ROUTED, Store, store_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from headway.brokers.base import Carrier


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker by which a case names what it needs of the carrier."""
    config.addinivalue_line(
        "markers", "needs(*capabilities): skip on carriers whose Capabilities say no to one of these"
    )


@pytest.fixture
def clock() -> FakeClock:
    """Give the test a clock that it moves by hand."""
    return FakeClock()


@pytest.fixture(
    params=[
        # one process starts the cluster and runs all its cases
        pytest.param(name, marks=pytest.mark.xdist_group("cluster")) if name == "redis-cluster" else name
        for name in CARRIERS
    ]
)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    """Give the test a store of its own: a file, a namespace on the session's server, or an emulator."""
    name: str = request.param
    request.node.user_properties.append(("carrier", name))
    namespace = f"t-{uuid.uuid4().hex[:12]}"
    async with AsyncExitStack() as stack:
        parts = [
            await _part(request, stack, part, namespace, tmp_path / str(n), clock)
            for n, part in enumerate(ROUTED.get(name, (name,)))
        ]
        one = parts[0] if len(parts) == 1 else Store(name, "", namespace, clock, parts=tuple(parts))
        yield _checked(request, one)


async def _part(
    request: pytest.FixtureRequest,
    stack: AsyncExitStack,
    name: str,
    namespace: str,
    folder: Path,
    clock: FakeClock,
) -> Store:
    folder.mkdir()  # noqa: ASYNC240 - of a test
    if name != "cloudtasks":
        return Store(name, store_url(request, name, folder), namespace, clock)
    hub = Hub(clock, folder)
    await hub.open()
    stack.push_async_callback(hub.close)
    return Store(name, hub.url, namespace, clock, hub)


def _checked(request: pytest.FixtureRequest, store: Store) -> Store:
    """Skip when the case needs what this carrier cannot do."""
    capabilities = store.broker().capabilities
    for mark in request.node.iter_markers("needs"):
        for capability in mark.args:
            if not has(capabilities, capability):
                pytest.skip(f"{store.carrier} has not the capability {capability!r}")
    return store


@pytest.fixture
async def carrier(store: Store) -> AsyncIterator[Carrier]:
    """Give the test an open broker."""
    broker = store.broker()
    async with broker:
        yield broker


@pytest.fixture
def scene(carrier: Carrier, clock: FakeClock) -> Scene:
    """Give the test the verbs of the suite on its carrier."""
    return Scene(carrier, clock)
