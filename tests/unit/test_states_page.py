"""docs/explanation/states.md says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from headway.job import TRANSITIONS, JobState

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "states.md").read_text(encoding="utf-8")


def test_the_table_is_the_transition_table() -> None:
    section = PAGE.split("| from | to |")[1].split("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", section, flags=re.MULTILINE)
    told = {JobState(name): frozenset(map(JobState, re.findall(r"`(\w+)`", cells))) for name, cells in rows}
    assert told == TRANSITIONS


def test_the_diagram_draws_every_transition_and_no_other() -> None:
    diagram = PAGE.split("```mermaid")[1].split("```")[0]
    drawn = {
        (JobState(source), JobState(target))
        for source, target in re.findall(r"^ *(\w+) --> (\w+)", diagram, flags=re.MULTILINE)
    }
    assert drawn == {(source, target) for source, targets in TRANSITIONS.items() for target in targets}


def test_the_terminal_states_are_those_of_the_code() -> None:
    sentence = PAGE.split(" are *terminal*")[0].split("\n\n")[-1]
    assert {JobState(name) for name in re.findall(r"`(\w+)`", sentence)} == {
        s for s in JobState if s.terminal
    }
