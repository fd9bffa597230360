"""How fast a migration may go, and how far it is."""

from __future__ import annotations

import pytest

from headway.errors import ConfigError
from headway.migrate.pace import Pace, parse_rate
from headway.migrate.progress import Meter, Progress
from headway.migrate.report import instant, markdown


@pytest.mark.parametrize(("text", "rate"), [("500", 500), ("500/s", 500), ("30/m", 0.5), ("36/h", 0.01)])
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "0", "0/s", "-5", "5/d", "5 / s", "x", "5.5"])
def test_a_wrong_rate_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="--limit-rate"):
        parse_rate(text)


async def test_no_more_pass_than_may() -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    pace = Pace(100.0, clock=lambda: now, sleep=sleep)
    assert pace.most(400) == 100
    for _ in range(10):
        await pace.passed(100)
    assert 9.9 < now < 10.1
    now += 60  # a pause is not made up for by a burst
    await pace.passed(100)
    assert 70.9 < now < 71.1
    assert Pace(None).most(400) == 400


def test_progress_knows_the_rate_of_the_last_seconds() -> None:
    now = 0.0
    told: list[Progress] = []
    meter = Meter(told.append, lambda: now)
    meter.total = 1000
    for _ in range(100):
        now += 0.1
        meter.add(5)
    assert 20 <= len(told) <= 50  # a few times a second
    assert told[-1].rate == pytest.approx(50, rel=0.1)
    assert told[-1].left_s == pytest.approx(10, rel=0.2)
    assert Meter(None).now() == Progress(0, 0, 0.0, None)


def test_what_a_job_is_called_cannot_leave_its_cell() -> None:
    evil = "a|b\n# h\n<script>`x`\x1b[2J" + "x" * 500
    text = markdown(
        "Plan", {"found": 1, "rows": [{"queue": evil, "why": [{"why": evil}], "names": {evil: 2}}]}
    )
    assert text.startswith("# Plan\n\n- found: 1\n")
    (row,) = [line for line in text.splitlines() if "a\\|b" in line]
    assert "<script>" not in text
    assert "\x1b" not in text
    assert row.count("|") - row.count("\\|") == 4


def test_instants_beyond_the_calendar_are_its_last() -> None:
    assert instant(None) == ""
    assert instant(0) == "1970-01-01T00:00:00Z"
    assert instant(10**17) == "9999-12-31T23:59:59Z"
