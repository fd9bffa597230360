"""What is looked at before routes change: carriers that are not there, lack what a task needs, or have no worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import QueueCounts, WorkerRecord
    from headway.cli.target import OpenTarget
    from headway.routing.declared import Declared
    from headway.routing.table import RouteTable


def check_change(opened: OpenTarget, known: Declared, before: RouteTable, after: RouteTable) -> None:
    """Refuse a carrier that is not there, or cannot do what a task needs that is to go there."""
    from headway.app.needs import check_gaining

    check_gaining(
        {} if opened.app is None else opened.app.tasks, opened.settings, opened.carriers, known, before, after
    )


async def warnings_of(
    opened: OpenTarget,
    counts: Mapping[str, Mapping[str, QueueCounts]],
    gaining: Mapping[str, list[str]],
) -> list[str]:
    """Say what is likely to be in the way of jobs that are to go somewhere. Raises for no carrier that is away."""
    from headway.errors import BrokerUnavailableError
    from headway.routing.served import is_served, workers_of

    warnings: list[str] = []
    workers: dict[str, Sequence[WorkerRecord]] = {}
    for name in sorted({name for names in gaining.values() for name in names}):
        try:
            workers[name] = await workers_of(opened.carriers[name])
        except BrokerUnavailableError as error:
            warnings.append(f"carrier {name} is not available now: jobs cannot be enqueued there: {error}")
    for queue, names in gaining.items():
        for name in names:
            if name not in workers:
                continue
            there = counts.get(name, {}).get(queue)
            if not is_served(opened.carriers[name], workers[name], queue, there):
                who = "worker" if opened.carriers[name].capabilities.pull is not None else "receiver"
                warnings.append(
                    f"no {who} is seen that serves queue {queue!r} on {name}: its jobs wait there until one starts"
                )
    if opened.app is None and gaining:
        warnings.append("what the tasks need of their carrier was not checked: that takes --app")
    return warnings
