from __future__ import annotations

import json
import logging
import sys
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from headway.runtime import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], StringIO]]:
    """Return what makes this process one in which nobody has set up logging, with stderr in a text, and sets it up."""
    level = logging.root.level

    def start() -> StringIO:
        stream = StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(logging, "lastResort", logging.lastResort)
        monkeypatch.setattr(logging.root, "handlers", [])  # pytest's own come between fixture and test
        logs.configure_logging()
        return stream

    yield start
    logging.root.setLevel(level)


class Hostile:
    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_record_that_cannot_be_shown_harms_nobody(
    begin: Callable[[], StringIO], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("HEADWAY_LOG_FORMAT", form)
    heard = begin()
    log = logging.getLogger("shop.odd")
    log.info("%s", Hostile())
    log.info("too %s %s", *("few",))
    log.info("after", extra={"odd": {1: {2}}})
    lines = heard.getvalue().splitlines()
    assert len(lines) == 3
    assert "cannot be shown: ZeroDivisionError" in lines[0]
    assert "cannot be shown: TypeError" in lines[1]
    assert "after" in lines[2]


def test_the_job_stands_on_the_first_line_and_once(begin: Callable[[], StringIO]) -> None:
    heard = begin()
    job = {"job_id": "06h2pk335n5t9t9x7bz1", "task": "t", "attempt": 2}
    logging.getLogger("shop").info("one\ntwo", extra=job)
    logging.getLogger("shop").info("job 06h2pk335n5t9t9x7bz1 failed", extra=job)
    first, second, third = heard.getvalue().splitlines()
    assert first.endswith("one  [job 06h2pk335n5t9t9x7bz1, t, attempt 2]")
    assert (second, third.count("06h2pk335n5t9t9x7bz1")) == ("two", 1)


def test_json_has_what_the_application_adds(
    begin: Callable[[], StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_LOG_FORMAT", "json")
    heard = begin()
    logging.getLogger("shop").warning("é", extra={"order": 7})
    record = json.loads(heard.getvalue())
    assert (record["level"], record["logger"], record["message"], record["order"]) == (
        "WARNING",
        "shop",
        "é",
        7,
    )
    assert "job_id" not in record


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("", 1), ("WARNING", 0), ("nosuch", 1)])
def test_the_level_is_that_of_the_environment(
    begin: Callable[[], StringIO], monkeypatch: pytest.MonkeyPatch, level: str, lines: int
) -> None:
    monkeypatch.setenv("HEADWAY_LOG_LEVEL", level)
    heard = begin()
    logging.getLogger("shop").debug("d")
    logging.getLogger("shop").info("i")
    assert len(heard.getvalue().splitlines()) == lines


def test_handlers_of_the_application_learn_the_job(begin: Callable[[], StringIO]) -> None:
    heard = begin()
    logging.basicConfig(stream=heard, format="mine %(message)s %(job_id)s.", level="INFO")
    ours = logging.getLogger("headway.worker")
    ours.disabled = True  # as dictConfig leaves it
    logs.adopt_logging()
    logs.adopt_logging()
    ours.info("hello")
    assert heard.getvalue() == "mine hello .\n"
    assert len(logging.root.handlers[0].filters) == 1
