"""The mutants fit the source: each text to change is there, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutants.all import MUTANTS
from tests.mutants.mutant import Mutant, OutOfDateError, mutant, mutated

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("one", MUTANTS, ids=lambda one: one.name)
def test_a_mutant_fits_the_source(one: Mutant) -> None:
    for path, text in mutated(one, ROOT).items():
        assert text != path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            compile(text, str(path), "exec")


def test_names_are_used_once() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)


def test_one_that_does_not_fit_is_named() -> None:
    odd = mutant("odd", "nothing", ("job.py", "no such text", ""))
    with pytest.raises(OutOfDateError, match=r"odd: job.py has 0 times"):
        mutated(odd, ROOT)
