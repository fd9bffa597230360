from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from headway.cli import stats
from headway.cli.target import import_app
from headway.figures.gatherer import Delta
from headway.figures.histogram import histogram
from headway.figures.values import MINUTE_MS, Counts, Row, figures

if TYPE_CHECKING:
    from tests.unit.cli_shop import Shop


@pytest.fixture
def counted(shop: Shop) -> Shop:
    """A shop in which a worker has settled some jobs, two minutes ago and twenty."""
    minute = time.time_ns() // 1_000_000 // MINUTE_MS
    some = Counts(0, 40, 30, 10, 1, 9, 0, histogram([100.0] * 40), histogram([2000.0] * 40))
    rows = [
        Row(minute - 2, "email", "welcome", "main", some),
        Row(minute - 3, "email", "welcome", "main", some),
        Row(minute - 3, "reports", "report", "main", Counts(started=3, succeeded=3)),
        Row(minute - 20, "email", "welcome", "main", some),
    ]

    async def write() -> None:
        async with import_app(shop.app) as app:
            store = app.carrier.capabilities.figures
            assert store is not None
            await store.add_figures(Delta("one", 1, figures(rows)))

    asyncio.run(write())
    return shop


def test_what_became_of_jobs_is_shown_by_queue_and_task(counted: Shop) -> None:
    head, email, reports = counted.ok("stats", *counted.target).splitlines()
    assert head.split()[:4] == ["QUEUE", "TASK", "STARTED", "SUCCEEDED"]
    assert "CARRIER" not in head
    assert email.split() == [
        "email", "welcome", "5.33", "4", "1.33", "0.133", "1.2", "25.0%", "98.7", "ms", "98.7", "ms", "1.88", "s"
    ]  # fmt: skip
    assert reports.split() == ["reports", "report", "0.2", "0.2", "0", "0", "0", "0.0%"]


def test_one_queue_may_be_asked_for_and_json_has_the_numbers(counted: Shop) -> None:
    document = counted.json("stats", "email", *counted.target)
    assert document["minutes"] == 15
    [row] = document["figures"]
    assert (row["queue"], row["task"], row["carrier"]) == ("email", "welcome", "main")
    assert (row["started"], row["succeeded"], row["failed"], row["dead"], row["retried"]) == (
        80,
        60,
        20,
        2,
        18,
    )
    assert row["error_rate"] == 0.25
    assert 90 < row["latency_p50_ms"] < 110
    assert 1800 < row["duration_p95_ms"] < 2200


def test_an_app_without_figures_says_so(shop: Shop) -> None:
    assert shop.ok("stats", *shop.target) == "no figures: no worker settled a job in the last 15 minutes\n"
    assert shop.json("stats", "email", *shop.target) == {"minutes": 15, "figures": []}


def test_watching_looks_again(counted: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stats, "_PAUSE", 0.01)
    lines = counted.ok("stats", "reports", "--watch", "--limit", "3", "--json", *counted.target).splitlines()
    assert len(lines) == 3
    assert lines[0] == lines[2]
    refused = counted.run("stats", "--limit", "3", *counted.target)
    assert (refused.exit_code, "--watch" in refused.stderr) == (2, True)
