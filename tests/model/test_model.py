"""Runs the stories on every carrier. `HYPOTHESIS_PROFILE=soak` tells many more; `HYPOTHESIS_SEED` repeats a run.

Every run of the suite draws other stories: so a hundred a run see in a week what many a run would see today.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from headway.testing import FakeClock
from tests.conformance.store import PULLED, Store, store_url
from tests.model.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

_STORIES: Final = {"soak": 3_000, "default": 100}
_FEWER: Final = {"redis-cluster": 3}  # times; it runs the scripts of redis, on another server
_STEPS: Final = {"soak": 80, "default": 40}
# Shrinking explains a failure but may take minutes: the explain phase, which takes longest, is left out.
_PHASES: Final = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "carrier",
    [
        pytest.param(name, marks=pytest.mark.xdist_group("cluster")) if name == "redis-cluster" else name
        for name in PULLED
    ],
)
def test_a_carrier_does_as_the_model(carrier: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Promises 1, 2, 3 and 5, in stories that nobody thought of."""
    profile = os.environ.get("HYPOTHESIS_PROFILE", "default")
    number = int(os.environ.get("HYPOTHESIS_SEED") or secrets.randbelow(2**32))
    print(f"HYPOTHESIS_SEED={number} repeats this run")  # noqa: T201 - pytest shows it beside a failure
    url = store_url(request, carrier, tmp_path)

    def machine() -> Machine:
        clock = FakeClock()
        return Machine(Store(carrier, url, "model", clock), clock)

    run_state_machine_as_test(
        seed(number)(machine),  # type: ignore[arg-type]
        settings=settings(
            max_examples=_STORIES.get(profile, _STORIES["default"]) // _FEWER.get(carrier, 1),
            stateful_step_count=_STEPS.get(profile, _STEPS["default"]),
            deadline=None,
            print_blob=True,
            phases=_PHASES,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
