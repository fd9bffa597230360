"""`headway top`: an app at one look, again and again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from headway.cli.failures import StdoutError
from headway.cli.options import DURATION, examples, json_option
from headway.cli.streams import emit, finish_stdout
from headway.cli.target import Target, takes_target, with_target
from headway.job import JobState

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget
    from headway.cli.top_screen import Look
    from headway.figures.values import Counts

_EVERY: Final = 2.0  # seconds
_SHORTEST: Final = 0.1  # seconds
_FAILURES: Final = 5
_MINUTE_MS: Final = 60_000
_ENTER: Final = "\x1b[?1049h\x1b[?25l"  # a screen of its own, no cursor
_LEAVE: Final = "\x1b[?25h\x1b[?1049l"


@click.command(
    epilog=examples(
        "headway top --app shop.jobs:app",
        "headway top --url redis://localhost --namespace shop --every 10s",
        "headway top --app shop.jobs:app --json",
    )
)
@click.option(
    "--every", type=DURATION, help="Look again so often.  [default: 2s on a terminal, otherwise once]"
)
@json_option("what is seen, with --every on one line each time,")
@takes_target
def top(target: Target, *, every: float | None, as_json: bool) -> None:
    """Show queues, workers and the last failures on one screen, live, until Ctrl-C.

    Numbers a minute and WAIT (from due to start) are those of the last one to two minutes, of all carriers together, as
    workers have counted them: they are some seconds old. Where stdout is no terminal, and with --json, there is one
    look, or one after the other with --every.
    """
    if every is not None and every < _SHORTEST:
        msg = f"--every {every:g}: must be {_SHORTEST:g} s or more"
        raise click.UsageError(msg)
    live = sys.stdout.isatty() and not as_json

    async def follow(opened: OpenTarget) -> None:
        if live:
            await _live(opened, every or _EVERY)
        else:
            await _print(opened, every, as_json=as_json)

    with_target(target, follow)


async def _print(opened: OpenTarget, every: float | None, *, as_json: bool) -> None:
    import asyncio

    from headway.cli.output import print_json, print_json_line, terminal_width
    from headway.cli.top_screen import look_fields, screen

    while True:
        look = await read(opened)
        if as_json:
            (print_json if every is None else print_json_line)(look_fields(look))
        else:
            for line in screen(look, width=terminal_width()):
                emit(line)
        if every is None:
            return
        if not as_json:
            emit("")
        finish_stdout()
        await asyncio.sleep(every)


async def _live(opened: OpenTarget, every: float) -> None:
    """Draw again and again; when nothing can be read, what was seen last stays, with the reason."""
    import asyncio
    import shutil

    from headway.cli.top_screen import screen
    from headway.errors import BrokerError

    look, trouble = await read(opened), ""
    plain = click.get_current_context().color is False
    try:
        _write(_ENTER)
        while True:
            width, height = shutil.get_terminal_size()
            lines = screen(look, width=width, height=height, trouble=trouble)
            if plain:
                lines = [click.unstyle(line) for line in lines]
            _write("\x1b[H" + "\n".join(f"{line}\x1b[K" for line in lines) + "\x1b[J")
            await asyncio.sleep(every)
            try:
                look, trouble = await read(opened), ""
            except BrokerError as error:
                trouble = str(error)
    finally:
        _write(_LEAVE)


def _write(text: str) -> None:
    """Write to the terminal as it is: click would take the movements of the cursor away with the colours."""
    try:
        sys.stdout.write(text)
    except OSError as error:
        raise StdoutError(error) from error
    finish_stdout()


async def read(opened: OpenTarget) -> Look:
    """Look at all carriers of the target at once."""
    import asyncio

    from headway.brokers.base import JobQuery
    from headway.cli.queues import all_counts
    from headway.cli.top_screen import Look
    from headway.cli.workers import served_carriers, worker_fields
    from headway.clock import SystemClock

    now_ms = (opened.app.clock if opened.app is not None else SystemClock()).now_ms()
    since_ms = (now_ms // _MINUTE_MS - 1) * _MINUTE_MS
    queues, recent, holders, served, failures = await asyncio.gather(
        all_counts(opened),
        _recent(opened, since_ms, now_ms),
        opened.carrier.workers(),
        served_carriers(opened),
        opened.carrier.list(JobQuery((JobState.FAILED,)), limit=_FAILURES),
    )
    return Look(
        opened.settings.namespace if opened.app is None else opened.app.name,
        now_ms,
        queues,
        recent,
        (now_ms - since_ms) / 1000,
        worker_fields(holders, (), served),
        failures.jobs,
    )


async def _recent(opened: OpenTarget, since_ms: int, now_ms: int) -> dict[str, Counts] | None:
    """Return what workers have counted since, by queue; None where no carrier keeps it."""
    kept = (carrier.capabilities.figures for carrier in opened.carriers.values())
    store = next((one for one in kept if one is not None), None)  # the one that workers write to
    if store is None:
        return None
    found = await store.figures(since_ms, now_ms + 1)
    return {queue: found.of(queue=queue) for queue in {row.queue for row in found.rows}}
