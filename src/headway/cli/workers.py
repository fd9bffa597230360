"""`headway workers`: who runs jobs now, and one of them drained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.failures import CommandFailed
from headway.cli.options import examples, json_option
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target
from headway.job import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headway.brokers.base import WorkerRecord
    from headway.cli.target import OpenTarget
    from headway.job import JobRecord

_PAGE: Final = 1000
_MOST: Final = 50_000  # running jobs that are looked at
_SEVERAL: Final = 2


class _ListsByDefault(click.Group):
    """Without the name of a command, it lists: so it did before there were others."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` before what is no command."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=_ListsByDefault,
    epilog=examples(
        "headway workers --app shop.jobs:app", "headway workers drain web-1-4711-k2m4x7 --app shop.jobs:app"
    ),
)
def workers() -> None:
    """List the worker processes, as `headway workers` alone does; drain one."""


@workers.command(
    "list", epilog=examples("headway workers list --app shop.jobs:app", "headway workers list --json")
)
@json_option("the workers")
@takes_target
def list_workers(target: Target, *, as_json: bool) -> None:
    """List the worker processes: where, of which queues, how many jobs they run, since when.

    One that waits for work is listed with 0; `headway doctor` tells which queue nobody serves.
    """
    from headway.cli.output import print_json

    found = with_target(target, _read)
    if as_json:
        print_json({"workers": found})
    else:
        _print_workers(found)


@workers.command(epilog=examples("headway workers drain web-1-4711-k2m4x7 --app shop.jobs:app"))
@click.argument("name", metavar="ID")
@json_option("the worker that was asked")
@takes_target
def drain(target: Target, *, name: str, as_json: bool) -> None:
    """Ask one worker process to claim no more, finish what it runs within its grace time, and end.

    It is asked through its carrier, wherever it runs. Its supervisor starts a new process in its place at once, so that
    this restarts a worker that grew, hangs in one job or is to read its environment anew, and costs no job an attempt.
    To end a whole group, send SIGTERM to its supervisor.
    """
    from headway.cli.output import print_json

    asked = with_target(target, lambda opened: _ask_to_drain(opened, name))
    if not asked:
        msg = f"no worker {name!r} is there; `headway workers` lists them"
        raise CommandFailed(msg)
    if as_json:
        print_json({"worker": name, "carriers": asked})
    else:
        emit(f"worker {name} drains: it ends when what it runs has ended, or its grace time is over")


async def _ask_to_drain(opened: OpenTarget, name: str) -> list[str]:
    """Return the carriers on which the worker was asked."""
    from headway.job import WorkerId
    from headway.routing.served import drain_worker

    return await drain_worker(opened.carriers, WorkerId(name))


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
    return worker_fields(holders, running, await served_carriers(opened))


async def served_carriers(opened: OpenTarget) -> dict[str, list[str]] | None:
    """Return by worker the carriers that it serves; None where there is only one."""
    stores = opened.carriers
    if len(stores) < _SEVERAL:
        return None
    served: dict[str, list[str]] = {}
    for name, store in stores.items():
        for one in await store.workers():
            served.setdefault(one.id, []).append(name)
    return served


def worker_fields(
    holders: Sequence[WorkerRecord],
    running: Sequence[JobRecord],
    carriers: Mapping[str, list[str]] | None = None,
) -> list[dict[str, Any]]:
    """Return the workers for JSON, by name: those that hold a lease, and those of the jobs that run.

    `carriers` are those that each serves, where the app has several.
    """
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
                **({} if carriers is None else {"carriers": carriers.get(name, [])}),
                "queues": sorted({job.queue for job in held} | set(() if lease is None else lease.queues)),
                "running": lease.holds if lease is not None else len(held),
                "since": iso(since),
                "lease_until": None if lease is None else iso(lease.lease_until_ms),
                "draining": lease is not None and lease.draining,
            }
        )
    return found


def _place(worker: str) -> tuple[str | None, int | None]:
    """Return host and process of a worker's id, which ends with both and a part that makes it unique."""
    host, _, rest = worker.rpartition("-")[0].rpartition("-")
    return (host, int(rest)) if host and rest.isascii() and rest.isdigit() else (None, None)


def _print_workers(found: list[dict[str, Any]]) -> None:
    from headway.cli.output import Column, print_table

    several = any("carriers" in worker for worker in found)
    print_table(
        [
            Column("worker"),
            Column("host"),
            Column("pid", right=True),
            *([Column("carriers")] if several else []),
            Column("queues"),
            Column("running", right=True),
            Column("since"),
        ],
        [
            [
                worker["worker"],
                worker["host"] or "-",
                "-" if worker["pid"] is None else str(worker["pid"]),
                *([", ".join(worker["carriers"])] if several else []),
                ", ".join(worker["queues"]),
                f"{worker['running']}, drains" if worker["draining"] else str(worker["running"]),
                worker["since"] or "-",
            ]
            for worker in found
        ],
        empty="nobody runs a job now",
    )
