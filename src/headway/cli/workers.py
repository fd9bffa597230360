"""`headway workers`: who runs jobs now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.options import examples, json_option
from headway.cli.target import Target, takes_target, with_target
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.brokers.base import WorkerRecord
    from headway.cli.target import OpenTarget
    from headway.job import JobRecord

_PAGE: Final = 1000
_MOST: Final = 50_000  # running jobs that are looked at


@click.command(epilog=examples("headway workers --app shop.jobs:app", "headway workers --json"))
@json_option("the workers")
@takes_target
def workers(target: Target, *, as_json: bool) -> None:
    """List the worker processes: where, of which queues, how many jobs they run, since when.

    One that waits for work is listed with 0; `headway doctor` tells which queue nobody serves.
    """
    from headway.cli.output import print_json

    found = with_target(target, _read)
    if as_json:
        print_json({"workers": found})
    else:
        _print_workers(found)


async def _read(opened: OpenTarget) -> list[dict[str, Any]]:
    from headway.brokers.base import JobQuery

    holders = await opened.carrier.workers()
    running: list[JobRecord] = []
    cursor: str | None = None
    while len(running) < _MOST:
        page = await opened.carrier.list(JobQuery((JobState.RUNNING,)), after=cursor, limit=_PAGE)
        running += page.jobs
        cursor = page.cursor
        if cursor is None:
            break
    return worker_fields(holders, running)


def worker_fields(holders: Sequence[WorkerRecord], running: Sequence[JobRecord]) -> list[dict[str, Any]]:
    """Return the workers for JSON, by name: those that hold a lease, and those of the jobs that run."""
    from headway.cli.render import iso

    leases: dict[str, WorkerRecord] = {worker.id: worker for worker in holders}
    jobs: dict[str, list[JobRecord]] = {}
    for job in running:
        if job.worker:
            jobs.setdefault(job.worker, []).append(job)
    found: list[dict[str, Any]] = []
    for name in sorted({*leases, *jobs}):
        held = jobs.get(name, [])
        lease = leases.get(name)
        host, pid = _place(name)
        since = min((job.started_ms for job in held if job.started_ms is not None), default=None)
        if since is None and lease is not None:
            since = lease.since_ms  # it waits for work
        found.append(
            {
                "worker": name,
                "host": host,
                "pid": pid,
                "queues": sorted({job.queue for job in held} | set(() if lease is None else lease.queues)),
                "running": lease.holds if lease is not None else len(held),
                "since": iso(since),
                "lease_until": None if lease is None else iso(lease.lease_until_ms),
            }
        )
    return found


def _place(worker: str) -> tuple[str | None, int | None]:
    """Return host and process of a worker's id, which ends with both and a part that makes it unique."""
    host, _, rest = worker.rpartition("-")[0].rpartition("-")
    return (host, int(rest)) if host and rest.isascii() and rest.isdigit() else (None, None)


def _print_workers(found: list[dict[str, Any]]) -> None:
    from headway.cli.output import Column, print_table

    print_table(
        [
            Column("worker"),
            Column("host"),
            Column("pid", right=True),
            Column("queues"),
            Column("running", right=True),
            Column("since"),
        ],
        [
            [
                worker["worker"],
                worker["host"] or "-",
                "-" if worker["pid"] is None else str(worker["pid"]),
                ", ".join(worker["queues"]),
                str(worker["running"]),
                worker["since"] or "-",
            ]
            for worker in found
        ],
        empty="nobody runs a job now",
    )
