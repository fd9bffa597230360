"""The pytest plugin: fixtures for tests of tasks. Loading it imports next to nothing: the fixtures do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from headway.app.app import Headway
    from headway.app.lifespan import Resource
    from headway.testing.clock import FakeClock
    from headway.testing.inlined import Inline


class InlineFactory(Protocol):
    """What the fixture `headway_inline` is."""

    def __call__(
        self, app: Headway, /, *, resources: Mapping[Resource[Any], object] = ...
    ) -> AbstractAsyncContextManager[Inline]:
        """Open the app for the test: `async with headway_inline(app) as box`.

        `resources` stand in for those of the app, in place of what the fixture `headway_resources` gives.
        """
        ...


@pytest.fixture
def headway_clock() -> FakeClock:
    """Give the test the clock of `headway_inline`; it stands at the present instant until it is moved."""
    from headway.clock import SystemClock  # noqa: PLC0415 - only for tests that ask for it
    from headway.testing.clock import FakeClock  # noqa: PLC0415 - as above

    return FakeClock(SystemClock().now_ms())


@pytest.fixture
def headway_resources() -> Mapping[Resource[Any], object]:
    """Stand in for resources of the app: override it in a `conftest.py` with what `inline` takes as `resources`."""
    return {}


@pytest.fixture
def headway_inline(
    headway_clock: FakeClock, headway_resources: Mapping[Resource[Any], object], tmp_path: Path
) -> InlineFactory:
    """Open an app inline, on `headway_clock`, its file in `tmp_path`: kept by pytest for a look after a failure."""
    from headway.testing.inlining import inline  # noqa: PLC0415 - as above

    return partial(inline, clock=headway_clock, directory=tmp_path, resources=headway_resources)
