"""Seeded faults: how they are written, and how often they are drawn."""

from __future__ import annotations

import pytest

from headway.emulator.faults import Copy, Dice, Faults, parse_faults
from headway.errors import ConfigError


def test_faults_are_read() -> None:
    assert parse_faults("duplicates=0.2, delays=0.1:2s,unavailable=.05,lost=1,seed=7") == Faults(
        duplicates=0.2, delays=0.1, delay_ms=2000, unavailable=0.05, lost=1.0, seed=7
    )
    assert parse_faults("delays=1:250ms").delay_ms == 250
    assert parse_faults("delays=1").delay_ms == 1000
    assert parse_faults("") == Faults()


@pytest.mark.parametrize(
    "text",
    [
        "duplicates",
        "duplicates=2",
        "lost=-1",
        "lost=nan",
        "delays=0.1:2h",
        "delays=:2s",
        "seed=x",
        "seed=0.5",
        "more=1",
    ],
)
def test_the_part_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=text.split(":", maxsplit=1)[0].split("=", maxsplit=1)[0]):
        parse_faults(f"lost=0.5,{text}")


def test_each_fault_comes_at_its_rate_and_the_seed_repeats_it() -> None:
    def draw(seed: int) -> list[tuple[object, ...]]:
        dice = Dice(Faults(duplicates=0.2, delays=0.1, unavailable=0.05, lost=0.5, seed=seed))
        drawn: list[tuple[object, ...]] = [
            (
                dice.copy(),
                dice.delay_ms(),
                dice.call_refused(),
                dice.call_lost(),
                dice.target_refused(),
                dice.target_lost(),
            )
            for _ in range(5000)
        ]
        rates = {
            "duplicates": 0.2,
            "delays": 0.1,
            "unavailable-call": 0.05,
            "lost-call": 0.5,
            "unavailable-target": 0.05,
            "lost-target": 0.5,
        }
        for name, rate in rates.items():
            assert dice.drawn[name] == pytest.approx(5000 * rate, rel=0.2), name
        return drawn

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
    copies = [row[0] for row in draw(7)]
    assert copies.count(Copy.BESIDE) == pytest.approx(500, rel=0.2)
    assert copies.count(Copy.AFTER) == pytest.approx(500, rel=0.2)


def test_without_faults_nothing_is_drawn() -> None:
    dice = Dice(Faults())
    assert dice.copy() is Copy.NONE
    assert not any(
        (dice.delay_ms(), dice.call_refused(), dice.call_lost(), dice.target_refused(), dice.target_lost())
    )
