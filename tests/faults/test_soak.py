"""A few random histories of the soak, in each run of the tests."""

from __future__ import annotations

import pytest

from tests.faults.soak import CARRIERS, Soak

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_random_histories_lose_nothing(carrier: str) -> None:
    told: list[str] = []
    soak = Soak(told.append)
    await soak.run(carrier, range(1, 4))
    assert not told, "\n".join(told)
    assert len(soak.histories) == 3
    assert sum(one.jobs for one in soak.histories) > 10
