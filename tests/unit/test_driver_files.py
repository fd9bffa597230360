"""A verb stands in the file of its name, in every driver; a driver that is added is found by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

import headway.brokers

BROKERS: Final = Path(headway.brokers.__file__).parent
DRIVERS: Final = sorted(
    folder.name for folder in BROKERS.iterdir() if (folder / "broker.py").exists() and folder.name != "base"
)

EVERY: Final = frozenset(
    [
        "broker",
        "location",
        "records",
        "enqueue",
        "holding",
        "settle",
        "lease",
        "wait",
        "withdraw",
        "inspect",
        "manage",
        "schedules",
        "made",
    ]
)
PULL: Final = EVERY | {"claim", "upkeep", "signals", "events"}
PUSH: Final = EVERY | {"receive"}


def missing(names: set[str]) -> set[str]:
    """Return the verbs that a driver of these files has no file for."""
    return set((PUSH if "receive" in names else PULL) - names)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_has_a_file_for_each_verb(driver: str) -> None:
    assert missing({path.stem for path in (BROKERS / driver).glob("*.py")}) == set()


def test_each_folder_below_brokers_is_a_driver() -> None:
    folders = {path.name for path in BROKERS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders - {"base"} == set(DRIVERS) >= {"redis", "sqlite", "cloudtasks"}


def test_a_driver_that_lacks_a_verb_is_found() -> None:
    assert missing(set(PULL) - {"lease"}) == {"lease"}
    assert missing(set(PUSH) - {"settle"}) == {"settle"}
    assert missing({"broker", "receive"}) >= {"enqueue"}
