"""`headway spool`: jobs that wait on this host because their carrier is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headway.cli.options import examples, json_option, yes_option
from headway.cli.streams import ask, emit, say
from headway.cli.target import Target, import_app, settings_of, takes_target, with_target
from headway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from headway.cli.target import OpenTarget
    from headway.config import Settings
    from headway.routing.failover.entries import Contents
    from headway.routing.failover.failover import Failover
    from headway.routing.failover.reading import Parked

_NO_SPOOL = "the setting spool is empty: name a file of this host, such as spool = sqlite:///var/spool.db"


@click.group(
    epilog=examples("headway spool show --app shop.jobs:app", "headway spool flush --app shop.jobs:app")
)
def spool() -> None:
    """Look at jobs that wait on this host while their carrier is away, and bring them there."""


@spool.command(
    epilog=examples(
        "headway spool show --app shop.jobs:app",
        "headway spool show --json --app shop.jobs:app",
    )
)
@click.option(
    "--limit", type=click.IntRange(0, 1000), default=20, show_default=True, help="Jobs set aside to list."
)
@json_option("what the spool holds")
@takes_target
def show(target: Target, *, limit: int, as_json: bool) -> None:
    """Show what the spool of this host holds, and which carriers its processes count as away.

    Only the file is read: it works while every carrier is away.
    """
    from headway.cli.output import print_json
    from headway.clock import SystemClock
    from headway.routing.failover.reading import read_spool

    settings, name = named_settings(target)
    path = path_of(settings)
    now_ms = SystemClock().now_ms()
    contents, parked = read_spool(path, name, now_ms, parked=limit)
    if as_json:
        print_json(spool_fields(path, settings, contents, parked, now_ms))
    else:
        _print(path, settings, contents, parked, now_ms)


@spool.command(epilog=examples("headway spool flush --app shop.jobs:app"))
@json_option("how many were brought, and what is left")
@takes_target
def flush(target: Target, *, as_json: bool) -> int:
    """Bring the jobs of the spool to their carriers now; processes of the app do that by themselves.

    Exit code 1 when jobs are left.
    """
    return _bring(target, as_json=as_json, resend=False)


@spool.command(epilog=examples("headway spool resend --yes --app shop.jobs:app"))
@yes_option
@json_option("how many were brought, and what is left")
@takes_target
def resend(target: Target, *, yes: bool, as_json: bool) -> int:
    """Bring jobs to their carriers that were set aside: look at them first with `headway spool show`.

    One whose carrier may have had it, and has forgotten it since, can run a second time. Exit code 1 when jobs are
    left.
    """
    path_of(named_settings(target)[0])
    ask("Send the jobs that were set aside? One that ran already would run again.", yes=yes)
    return _bring(target, as_json=as_json, resend=True)


@spool.command(epilog=examples("headway spool drop --yes --app shop.jobs:app"))
@yes_option
@json_option("how many were forgotten")
@takes_target
def drop(target: Target, *, yes: bool, as_json: bool) -> None:
    """Forget the jobs that were set aside: look at them first with `headway spool show`."""
    from headway.cli.output import print_json

    path_of(named_settings(target)[0])
    ask("Forget the jobs that were set aside? They will not run from here.", yes=yes)

    async def work(opened: OpenTarget) -> int:
        return await failover_of(opened).drop_parked()

    dropped = with_target(target, work)
    if as_json:
        print_json({"forgotten": dropped})
    else:
        emit(f"{dropped} forgotten")


def _bring(target: Target, *, as_json: bool, resend: bool) -> int:
    from headway.cli.output import print_json

    path_of(named_settings(target)[0])

    async def work(opened: OpenTarget) -> tuple[Contents, Contents, str]:
        failover = failover_of(opened)
        before = await failover.contents()
        if resend:
            await failover.unpark()
        left = await failover.flush()
        return before, left, _why_left(failover, left)

    before, left, why = with_target(target, work)
    brought = left.flushed - before.flushed
    waiting = left.jobs - left.parked
    if as_json:
        print_json({"flushed": brought, "left": waiting, "set_aside": left.parked, "why": why})
    else:
        emit(f"{brought} brought to their carriers, {waiting} left, {left.parked} set aside")
        if why:
            say(f"headway: {why}")
    return 1 if waiting else 0


def named_settings(target: Target) -> tuple[Settings, str]:
    """Return the settings of a target, and the name of its app; empty where that is not known."""
    if target.app is not None:
        app = import_app(target.app)
        return app.settings, app.settings.namespace or app.name
    settings = settings_of(target)
    return settings, settings.namespace


def path_of(settings: Settings) -> Path:
    """Return where the spool is; ConfigError when there is none."""
    from headway.routing.failover.spool import spool_path

    if not settings.spool:
        raise ConfigError(_NO_SPOOL)
    return spool_path(settings.spool).absolute()


def failover_of(opened: OpenTarget) -> Failover:
    """Return the fail-over of an open app; ConfigError when it has none."""
    if opened.failover is None:
        raise ConfigError(_NO_SPOOL)
    return opened.failover


def _why_left(failover: Failover, left: Contents) -> str:
    reasons: list[str] = []
    for name in dict.fromkeys(one.carrier for one in left.lanes):
        carrier, flusher = failover.carriers.get(name), failover.flushers.get(name)
        if carrier is None or flusher is None:
            reasons.append(f"carrier {name} is not among the settings any more: name it again")
        elif not carrier.breaker.admits:
            reasons.append(f"carrier {name} does not answer: {carrier.breaker.why}")
        elif flusher.held_up:
            reasons.append(f"carrier {name}: {flusher.held_up}")
    return "; ".join(reasons)


def spool_fields(
    path: Path, settings: Settings, contents: Contents, parked: list[Parked], now_ms: int
) -> dict[str, Any]:
    """Return what is told of a spool, for JSON."""
    return {
        "spool": str(path),
        "jobs": contents.jobs,
        "bytes": contents.size,
        "spool_limit": settings.spool_limit,
        "spool_bytes": settings.spool_bytes,
        "oldest_age_ms": None if contents.oldest_ms is None else max(0, now_ms - contents.oldest_ms),
        "flushed": contents.flushed,
        "queues": [
            {"carrier": one.carrier, "queue": one.queue, "jobs": one.jobs, "bytes": one.size}
            for one in contents.lanes
        ],
        "set_aside": contents.parked,
        "set_aside_jobs": [{"id": one, "carrier": carrier, "reason": why} for one, carrier, why in parked],
        "breakers": breaker_fields(contents, now_ms),
    }


def breaker_fields(contents: Contents, now_ms: int) -> list[dict[str, Any]]:
    """Return the breakers of this host's processes that are not closed, for JSON."""
    return [
        {
            "carrier": one.carrier,
            "pid": one.pid,
            "state": one.state,
            "for_ms": max(0, now_ms - one.since_ms),
            "reason": one.why,
        }
        for one in contents.breakers
    ]


def breaker_lines(contents: Contents, now_ms: int) -> list[str]:
    """Say which carriers are away as processes of this host see it, a line each."""
    from headway.cli.render import span

    return [
        f"carrier {one.carrier}: breaker {one.state} for {span(max(0, now_ms - one.since_ms))} "
        f"in process {one.pid}: {one.why}"
        for one in contents.breakers
    ]


def summary(contents: Contents, now_ms: int) -> str:
    """Say in one line how much waits."""
    from headway.cli.render import span

    if not contents.jobs:
        return "empty"
    age = (
        "" if contents.oldest_ms is None else f", the oldest for {span(max(0, now_ms - contents.oldest_ms))}"
    )
    aside = f", {contents.parked} set aside" if contents.parked else ""
    return f"{contents.jobs - contents.parked} jobs wait{age}{aside}"


def _print(path: Path, settings: Settings, contents: Contents, parked: list[Parked], now_ms: int) -> None:
    from headway.cli.output import Column, print_table, printable

    emit(f"{path}: {summary(contents, now_ms)}")
    emit(
        f"{contents.jobs} of {settings.spool_limit} jobs, {contents.size} of {settings.spool_bytes} bytes; "
        f"{contents.flushed} brought home so far"
    )
    if contents.lanes:
        print_table(
            [Column("carrier"), Column("queue"), Column("jobs", right=True), Column("bytes", right=True)],
            [[one.carrier, one.queue, str(one.jobs), str(one.size)] for one in contents.lanes],
            empty="",
        )
    for line in breaker_lines(contents, now_ms):
        emit(printable(line))
    for job_id, carrier, why in parked:
        emit(printable(f"set aside: {job_id} for {carrier}: {why}"))
