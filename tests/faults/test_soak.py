"""A few random histories of the soak, in each run of the tests."""

from __future__ import annotations

import pytest

from tests.faults.soak import CARRIERS, PUSHED, Soak

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_random_histories_end_as_they_must(carrier: str) -> None:
    told: list[str] = []
    soak = Soak(told.append)
    seeds = range(1, 2) if carrier == PUSHED else range(1, 4)
    await soak.run(carrier, seeds)
    assert not told, "\n".join(told)
    assert len(soak.histories) == len(seeds)
    assert sum(one.jobs for one in soak.histories) > 10
