"""The pytest plugin: fixtures for tests of tasks. Loading it imports next to nothing: the fixtures do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from headway.app.app import Headway
    from headway.testing.clock import FakeClock
    from headway.testing.inlining import Inline


class InlineFactory(Protocol):
    """What the fixture `headway_inline` is."""

    def __call__(self, app: Headway, /) -> AbstractAsyncContextManager[Inline]:
        """Open the app for the test: `async with headway_inline(app) as box`."""
        ...


@pytest.fixture
def headway_clock() -> FakeClock:
    """Give the test the clock of `headway_inline`; it stands at the present instant until it is moved."""
    from headway.clock import SystemClock  # noqa: PLC0415 - only for tests that ask for it
    from headway.testing.clock import FakeClock  # noqa: PLC0415 - as above

    return FakeClock(SystemClock().now_ms())


@pytest.fixture
def headway_inline(headway_clock: FakeClock, tmp_path: Path) -> InlineFactory:
    """Open an app inline, on `headway_clock`, its file in `tmp_path`: kept by pytest for a look after a failure."""
    from headway.testing.inlining import inline  # noqa: PLC0415 - as above

    return partial(inline, clock=headway_clock, directory=tmp_path)
