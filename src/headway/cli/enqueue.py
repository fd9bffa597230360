"""`headway enqueue`: put a job into the queue from a shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.given_app import takes_app_and_words
from headway.cli.options import DURATION, INSTANT, examples, json_option
from headway.cli.streams import emit, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from headway.app.app import Headway
    from headway.app.handle import JobHandle

_LONG: Final = 100  # characters of an argument that are shown
# What somebody who typed it may have meant as something else than a text: broken JSON, or a word of Python.
_DOUBTFUL: Final = re.compile(
    r"""\s*([\[\]{}"'\d.+-]|(true|false|null|none|nan|infinity)\s*$)|\s*$""", re.IGNORECASE
)


@click.command(
    epilog=examples(
        "headway enqueue shop.jobs:app welcome 42",
        'headway enqueue shop.jobs:app welcome 42 --kwargs \'{"template": "pro"}\'',
        "headway enqueue shop.jobs:app report quarterly --delay 5m --priority 9",
        "headway enqueue shop.jobs:app report '\"42\"' --at 2030-01-31T09:00+01:00",
        "headway enqueue shop.jobs:app refund --key refund-17 -- -5",
        "headway enqueue shop.jobs:app welcome 42 --wait=30s --json",
    )
)
@takes_app_and_words("TASK [ARG]...")
@click.option("--kwargs", metavar="JSON", help="Keyword arguments, as a JSON object.")
@click.option("--delay", type=DURATION, help="Not before so long from now: 90, 500ms, 15s, 5m, 24h, 7d.")
@click.option("--at", type=INSTANT, help="Not before this instant, with its time zone.")
@click.option("--priority", type=click.IntRange(0, 9), help="9 comes first, 0 last.  [default: the task's]")
@click.option("--key", help="Idempotency key: a second enqueue with it finds the first job.")
@click.option("--queue", help="Another queue than the task's.")
@click.option(
    "--wait",
    is_flag=False,
    flag_value="inf",
    metavar="[DURATION]",
    help="Wait for the job, for so long or for ever, and print its result; exit code 1 when it fails. "
    "Write --wait=30s, or put it last.",
)
@json_option("the job")
def enqueue(app: str, words: tuple[str, ...], /, as_json: bool, **options: Any) -> int:  # noqa: ANN401, FBT001 - click's
    """Enqueue a job of TASK in APP (module:name).

    APP may be left out where HEADWAY_APP is set; the first word is taken for it when it has the form module:name.

    Each ARG is JSON: 42, 1.5, true, null, '"text"', '[1, 2]'. A word that cannot be meant as JSON is taken as a text:
    quarterly is "quarterly". What is neither, such as [1, or 01 or True, is refused. The task's signature is checked
    before anything is written.
    """
    import asyncio

    from headway.cli.target import import_app

    if not words:
        msg = "Missing argument 'TASK'."
        raise click.UsageError(msg)
    task, *texts = words
    values = [parse_argument(text) for text in texts]
    keywords = parse_keywords(options.pop("kwargs"))
    wait = _parse_wait(options.pop("wait"))
    loaded = import_app(app)

    async def run() -> int:
        async with loaded:
            handle = await _accept(loaded, task, values, keywords, **options)
            if handle.duplicate:
                say("headway: it was there before: same key, or unique")
            if wait is None:
                _print_accepted(handle, as_json=as_json)
                return 0
            say(f"headway: waiting for job {handle.id}")  # at once: a user who gives up waiting needs it
            return await _print_result(handle, wait, as_json=as_json)

    return asyncio.run(run())


def parse_argument(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of an argument; UsageError when it is neither JSON nor plainly a text."""
    try:
        return _strict_json(text)
    except ValueError as error:
        if _DOUBTFUL.match(text):
            msg = (
                f"argument {text!r} is not JSON; a text that looks like it goes in double quotes: '\"{text}\"'"
                if len(text) <= _LONG
                else f"argument {text[:_LONG]!r}... is not JSON: {error}"
            )
            raise click.UsageError(msg) from None
        return text


def parse_keywords(text: str | None) -> dict[str, Any]:
    """Return keyword arguments; UsageError when the text is no JSON object."""
    if text is None:
        return {}
    try:
        value = _strict_json(text)
    except ValueError as error:
        msg = f"--kwargs: not JSON: {error}"
        raise click.UsageError(msg) from None
    if not isinstance(value, dict):
        msg = '--kwargs: must be a JSON object, such as \'{"template": "pro"}\''
        raise click.UsageError(msg)
    return value  # pyright: ignore[reportUnknownVariableType] - keys of JSON objects are texts


def _strict_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    import json

    def refuse(word: str) -> None:
        msg = f"{word} is not JSON"
        raise ValueError(msg)

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None


def _parse_wait(text: str | None) -> float | None:
    if text is None or text == "inf":
        return None if text is None else float("inf")
    return DURATION.convert(text, None, None)


async def _accept(  # noqa: PLR0913 - the options of the command
    app: Headway,
    task: str,
    args: list[Any],
    kwargs: dict[str, Any],
    *,
    delay: float | None,
    at: datetime | None,
    priority: int | None,
    key: str | None,
    queue: str | None,
) -> JobHandle[Any]:
    call = app.find_task(task).options(delay=delay, at=at, priority=priority, key=key, queue=queue)
    accept: Callable[..., Awaitable[JobHandle[Any]]] = call.enqueue
    return await accept(*args, **kwargs)


def _print_accepted(handle: JobHandle[Any], *, as_json: bool) -> None:
    from headway.cli.output import print_json

    if as_json:
        print_json({"id": handle.id, "duplicate": handle.duplicate})
    else:
        emit(handle.id)


async def _print_result(handle: JobHandle[Any], wait: float, *, as_json: bool) -> int:
    from headway.cli.failures import EXIT_FAILURE, one_line
    from headway.cli.output import print_json
    from headway.cli.render import job_contents, job_fields
    from headway.errors import JobError

    failure: JobError | None = None
    try:
        # Its state, then its record: the result as it was stored, whatever type it had.
        await handle.result(None if wait == float("inf") else wait)
    except JobError as error:
        failure = error
    record = (await handle.record()).raw
    contents = job_contents(record, [])
    if as_json:
        print_json({**job_fields(record, handle.app), "duplicate": handle.duplicate, **contents})
    elif failure is None:
        print_json(contents["result"])
    if failure is None:
        return 0
    say(f"headway: {one_line(str(failure))}")
    return EXIT_FAILURE
