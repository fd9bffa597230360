"""What several of these tests start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers import EmulatorServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as server:
        yield server
