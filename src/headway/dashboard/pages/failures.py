"""Failures: dead jobs by what killed them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.dashboard.charts import Chart, Series
from headway.dashboard.pages.overview import read
from headway.dashboard.spans import ended_chart, instants, laid, span_of
from headway.server.services.figures import By

if TYPE_CHECKING:
    from headway.dashboard.asking import Asked
    from headway.server.services.figures import Figure

_TONES: Final = ("bad", "warn", "later", "wait")


async def failures(asked: Asked) -> str:
    """Return the page."""
    found = await asked.services.failures.list(
        asked.caller, queue=asked.every("queue"), task=asked.every("task")
    )
    span = span_of("6h")
    at, figures = instants(span, asked.now_ms), await read(asked, span, By.TASK)
    return asked.render(
        "failures",
        "Failures",
        found=found,
        charts=[ended_chart(at, figures), _by_task(at, figures)],
        chosen=asked.one("queue") or asked.one("task"),
    )


def _by_task(at: tuple[int, ...], figures: list[Figure]) -> Chart:
    """Return the failed attempts of the tasks that fail most."""
    failed: dict[str, int] = {}
    for one in figures:
        failed[one.task] = failed.get(one.task, 0) + one.failed
    most = sorted((name for name in failed if failed[name]), key=lambda name: (-failed[name], name))
    series = tuple(
        Series(name, laid(at, [one for one in figures if one.task == name], lambda one: one.failed), tone)
        for name, tone in zip(most, _TONES, strict=False)
    )
    title, empty = "Failed attempts, by task", "No attempt failed in this time."
    return Chart(title, at, series, shape="bars", empty=empty)
