"""`headway jobs retry`, `cancel`, `promote`, `remove`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from headway.cli.ids import checked_ids
from headway.cli.options import examples, json_option, yes_option
from headway.cli.streams import ask, emit, say
from headway.cli.target import Target, takes_target, with_target
from headway.job import JobId, JobState
from headway.text import storable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headway.brokers.base import Store
    from headway.cli.target import OpenTarget

_PAGE: Final = 1000


@click.command(
    epilog=examples(
        "headway jobs retry 06d0b8h2k7q1v5c9x3z8 --app shop.jobs:app",
        "headway jobs retry --all-failed --queue email --app shop.jobs:app --yes",
    )
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all-failed", is_flag=True, help="All jobs in the dead-letter state, instead of ids.")
@click.option("--queue", "queues", multiple=True, help="With --all-failed: only of this queue; may repeat.")
@click.option("--task", help="With --all-failed: only of this task.")
@yes_option
@json_option("which were retried and which were not")
@takes_target
def retry(
    target: Target,
    *,
    ids: tuple[str, ...],
    all_failed: bool,
    queues: tuple[str, ...],
    task: str | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Give failed, cancelled or expired jobs a new life, with fresh attempts."""
    if all_failed == bool(ids):
        msg = "give either ids or --all-failed"
        raise click.UsageError(msg)
    if (queues or task) and not all_failed:
        msg = "--queue and --task belong to --all-failed"
        raise click.UsageError(msg)
    if not all_failed:
        return _act(target, ids, "retried", _retry, as_json=as_json)
    ask("Retry all jobs in the dead-letter state that match?", yes=yes)

    async def retry_all(opened: OpenTarget) -> list[JobId]:
        from headway.brokers.base import JobQuery

        query = JobQuery((JobState.FAILED,), queues, () if task is None else (task,))
        found: list[JobId] = []
        cursor: str | None = None
        # All ids first: those retried would fail again while we list, and come round for ever.
        while True:
            page = await opened.carrier.list(query, after=cursor, limit=_PAGE)
            found += [job.id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                break
        done: list[JobId] = []
        for start in range(0, len(found), _PAGE):
            part = found[start : start + _PAGE]
            done += [job for job, ok in zip(part, await opened.carrier.retry(part), strict=True) if ok]
        return done

    done = with_target(target, retry_all)
    if as_json:
        _print_acted("retried", done, [])
    else:
        emit(f"{len(done)} retried")
    return 0


@click.command(
    epilog=examples("headway jobs cancel 06d0b8h2k7q1v5c9x3z8 --reason 'wrong month' --app shop.jobs:app")
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--reason", default="", help="Kept with the job.")
@json_option("which were cancelled, which were asked to stop, and which are neither")
@takes_target
def cancel(target: Target, *, ids: tuple[str, ...], reason: str, as_json: bool) -> int:
    """Cancel jobs: waiting ones at once; running ones are asked to stop.

    A running job may still succeed: its handler may be about to end, or take no notice. `jobs show` tells what became
    of it.
    """
    checked = checked_ids(ids)
    answers = with_target(target, lambda opened: opened.carrier.cancel(checked, storable(reason)))
    states = {answer.id: answer.state for answer in answers}
    done = [job for job in checked if states.get(job) is JobState.CANCELLED]
    asked = [job for job in checked if states.get(job) is JobState.RUNNING]
    others = [job for job in checked if job not in {*done, *asked}]
    if as_json:
        from headway.cli.output import print_json

        print_json({"cancelled": done, "asked_to_stop": asked, "not_cancelled": others})
    else:
        for job in checked:
            if job not in others:
                emit(f"{job} {'cancelled' if job in done else 'asked to stop'}")
    return _say_not("cancelled", others)


@click.command(epilog=examples("headway jobs promote 06d0b8h2k7q1v5c9x3z8 --app shop.jobs:app"))
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@json_option("which were promoted and which were not")
@takes_target
def promote(target: Target, *, ids: tuple[str, ...], as_json: bool) -> int:
    """Make scheduled jobs ready now, whatever their due time."""
    return _act(target, ids, "promoted", _promote, as_json=as_json)


@click.command(epilog=examples("headway jobs remove 06d0b8h2k7q1v5c9x3z8 --app shop.jobs:app"))
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@json_option("which were removed and which were not")
@takes_target
def remove(target: Target, *, ids: tuple[str, ...], as_json: bool) -> int:
    """Forget jobs that are not running, with their results and logs."""
    return _act(target, ids, "removed", _remove, as_json=as_json)


async def _retry(carrier: Store, ids: Sequence[JobId]) -> list[bool]:
    return await carrier.retry(ids)


async def _promote(carrier: Store, ids: Sequence[JobId]) -> list[bool]:
    return await carrier.promote(ids)


async def _remove(carrier: Store, ids: Sequence[JobId]) -> list[bool]:
    return await carrier.remove(ids)


def _act(
    target: Target,
    ids: Sequence[str],
    done: str,
    act: Callable[[Store, Sequence[JobId]], Awaitable[list[bool]]],
    *,
    as_json: bool,
) -> int:
    """Do it for all; exit code 1 when it could not be done for one of them."""
    checked = checked_ids(ids)
    applied = with_target(target, lambda opened: act(opened.carrier, checked))
    yes = [job for job, ok in zip(checked, applied, strict=True) if ok]
    no = [job for job, ok in zip(checked, applied, strict=True) if not ok]
    if as_json:
        _print_acted(done, yes, no)
    else:
        for job in yes:
            emit(f"{job} {done}")
    return _say_not(done, no)


def _say_not(done: str, no: Sequence[JobId]) -> int:
    if no:
        say(f"headway: not {done}: {', '.join(no)}: unknown, or in a state that does not allow it")
    return 1 if no else 0


def _print_acted(done: str, yes: Sequence[JobId], no: Sequence[JobId]) -> None:
    from headway.cli.output import print_json

    print_json({done: yes, f"not_{done}": no})
