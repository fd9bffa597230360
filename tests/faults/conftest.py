"""Fixtures of the fault tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.figures import FIGURE
from tests.faults.shop import Shop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.servers import RedisServer

CARRIERS: Final = ("sqlite", "redis")


@pytest.fixture(params=CARRIERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a store of each carrier: a file, or the session's server, where `namespace` sets the test apart."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    shared: str = request.getfixturevalue("redis_url")
    return shared


@pytest.fixture
async def shop(
    url: str, namespace: str, tmp_path: Path, settings: dict[str, str | int]
) -> AsyncIterator[Shop]:
    """Open a case on each carrier; `@pytest.mark.parametrize("settings", [{...}])` gives its workers settings."""
    async with Shop(url, namespace, tmp_path, settings=settings) as made:
        yield made


@pytest.fixture
def settings() -> dict[str, str | int]:
    """Give the workers of the case no settings of their own."""
    return {}


@pytest.fixture
async def redis_shop(own_redis_server: RedisServer, namespace: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """Open a case on a Redis server of its own, which the test may kill, freeze and restart; it loses nothing."""
    async with Shop(own_redis_server.url, namespace, tmp_path) as made:
        yield made


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Write down a figure that the test measured; the end of the run shows it."""

    def note(text: str) -> None:
        request.node.user_properties.append((FIGURE, text))

    return note
