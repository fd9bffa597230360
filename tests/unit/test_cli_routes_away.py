"""`headway routes` while a carrier is away: just then traffic is to be led elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli_shop import Shop

APP = """
from headway import Headway

app = Headway("away", carriers={{"main": "sqlite:///main.db", "gone": "redis://127.0.0.1:{port}/0"}}, routes={{"email": "gone"}})


@app.task(queue="email")
async def send() -> None: ...


@app.task(queue="other")
async def other() -> None: ...
"""


@pytest.fixture
def away(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    (tmp_path / "away_app.py").write_text(APP.format(port=free_port()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return shop


TARGET = ("--app", "away_app:app")


def test_traffic_is_led_away_from_a_carrier_that_is_away(away: Shop) -> None:
    assert _weights(away)["email"] == {"gone": 100}
    away.ok("routes", "set", "email", "main", *TARGET)
    assert _weights(away)["email"] == {"main": 100}


def test_traffic_that_is_led_to_it_is_warned_of_and_a_roll_out_refused(away: Shop) -> None:
    options = ("--to", "gone", "--steps", "50,100", "--max-error-rate", "5%")
    begun = away.run("rollout", "start", "other", *options, *TARGET)
    assert (begun.exit_code, begun.stdout) == (1, "")
    assert "roll-out of other: carrier gone is not available now" in begun.stderr
    said = away.run("routes", "set", "other", "gone", "--force", *TARGET)
    assert said.exit_code == 0
    assert "carrier gone is not available now: jobs cannot be enqueued there" in said.stderr


def _weights(shop: Shop) -> dict[str, dict[str, int]]:
    return {one["queue"]: one["weights"] for one in shop.json("routes", "show", *TARGET)["routes"]}
