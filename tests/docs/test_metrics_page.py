"""The page of metrics names what there is."""

from __future__ import annotations

import re

import pytest

from headway.telemetry.names import ALL, OF_APP, OF_PROCESSES, Metric
from tests.docs.samples import ROOT

PAGE = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
APP, PROCESSES = PAGE.partition("## Of the processes")[::2]


def rows(text: str) -> list[tuple[str, str, str, str]]:
    return re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", text, re.MULTILINE)


@pytest.mark.parametrize(("part", "metrics"), [(APP, OF_APP), (PROCESSES, OF_PROCESSES)])
def test_the_page_is_the_list_of_names(part: str, metrics: tuple[Metric, ...]) -> None:
    wanted = [
        (one.name, one.kind.value, ", ".join(f"`{label}`" for label in one.labels), one.help)
        for one in metrics
    ]
    assert rows(part) == wanted


def test_labels_are_such_that_have_few_values() -> None:
    assert {label for one in ALL for label in one.labels} == {"queue", "task", "carrier", "state"}
    assert len({one.name for one in ALL}) == len(ALL)
