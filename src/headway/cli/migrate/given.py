"""What the commands are told of the source, the map and the app, and how these are opened."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from headway.app.app import Headway
    from headway.migrate.carrying import Carrying
    from headway.migrate.deciding import Deciding
    from headway.migrate.destination import Destination
    from headway.migrate.found import FoundState
    from headway.migrate.repeatables import Repeatables
    from headway.migrate.source import Source

DEFAULT_SERIALIZER: Final = "pickle"
DEFAULT_MAX_SIZE: Final = 1024 * 1024
P = ParamSpec("P")
R = TypeVar("R")


class Given(NamedTuple):
    """The source, as it was typed. No queues: all."""

    kind: str
    url: str
    queues: tuple[str, ...]
    prefix: str | None
    serializer: str
    allow_pickle: bool
    classes: tuple[str, ...]
    max_size: int
    history: bool


class Work(NamedTuple):
    """All that a migration needs, open."""

    source: Source
    queues: Sequence[str]
    deciding: Deciding
    destination: Destination
    carrying: Carrying
    repeatables: Repeatables
    app: Headway
    words: tuple[str, ...]  # the options, but for the source's URL: so that the command can be shown again


def takes_source(function: Callable[Concatenate[Given, P], R]) -> Callable[..., R]:
    """Add the options of the source, given to the command as one Given."""

    @click.option(
        "--from",
        "kind",
        required=True,
        metavar="KIND",
        help="bullmq, bull, arq, or module:function of a source.",
    )
    @click.option(
        "--source", "url", metavar="URL", help="The Redis of the source.  [env: HEADWAY_MIGRATE_SOURCE]"
    )
    @click.option("--queues", metavar="A,B", default="", help="Of the source; otherwise all.")
    @click.option("--prefix", help="Of its keys, where it is not the library's own.")
    @click.option(
        "--allow-pickle", is_flag=True, help="arq: read pickles, as plain data; nothing in them is run."
    )
    @click.option(
        "--allow-class",
        "classes",
        multiple=True,
        metavar="MODULE:NAME",
        help="arq: a class that pickles may hold.",
    )
    @click.option(
        "--serializer",
        default=DEFAULT_SERIALIZER,
        metavar="NAME",
        help="arq: pickle, json or msgpack.",
        show_default=True,
    )
    @click.option(
        "--max-size",
        type=click.IntRange(1024, 64 * 1024 * 1024),
        default=DEFAULT_MAX_SIZE,
        metavar="BYTES",
        help="Larger jobs are refused.  [default: 1 MiB]",
    )
    @click.option("--history", is_flag=True, help="Look at what has ended there, too.")
    @wraps(function)
    def command(*args: Any, **kwargs: Any) -> R:  # noqa: ANN401 - the command's own
        url = kwargs.pop("url") or os.environ.get("HEADWAY_MIGRATE_SOURCE")
        if not url:
            msg = "which Redis? give --source redis://host:6379/0, or set HEADWAY_MIGRATE_SOURCE"
            raise click.UsageError(msg)
        given = Given(
            kind=kwargs.pop("kind"),
            url=url,
            queues=tuple(one.strip() for one in kwargs.pop("queues").split(",") if one.strip()),
            prefix=kwargs.pop("prefix"),
            serializer=kwargs.pop("serializer"),
            allow_pickle=kwargs.pop("allow_pickle"),
            classes=kwargs.pop("classes"),
            max_size=kwargs.pop("max_size"),
            history=kwargs.pop("history"),
        )
        return function(given, *args, **kwargs)

    return command


def takes_map(function: Callable[P, R]) -> Callable[P, R]:
    """Add `--map` and `--app`."""
    function = click.option(
        "--map", "map_", required=True, metavar="FILE", help="map.toml, or module:function in its place."
    )(function)
    return click.option(
        "--app", metavar="MODULE:NAME", help="The app that the jobs go to.  [env: HEADWAY_APP]"
    )(function)


def states_of(given: Given) -> frozenset[FoundState]:
    """Return the states that are looked at."""
    from headway.migrate.found import FoundState
    from headway.migrate.plan import LOOKED_AT

    return frozenset(FoundState) if given.history else LOOKED_AT


@asynccontextmanager
async def opened_source(given: Given) -> AsyncGenerator[tuple[Source, Sequence[str]]]:
    """Open the source; ConfigError when it is not there as described."""
    from headway.migrate.opening import SourceOptions, load_class, open_source

    classes: Mapping[tuple[str, str], type] = dict(load_class(one) for one in given.classes)
    options = SourceOptions(
        prefix=given.prefix,
        serializer=given.serializer,
        allow_pickle=given.allow_pickle,
        classes=classes,
        max_bytes=given.max_size,
    )
    source = open_source(given.kind, given.url, options)
    await source.open()
    try:
        await _note_empty(source, given.queues)
        yield source, given.queues or await source.queues()
    finally:
        await source.close()


@asynccontextmanager
async def opened_work(
    given: Given, map_: str, app_path: str | None, *, failed: bool = False, children: bool = False
) -> AsyncGenerator[Work]:
    """Open the source and the app."""
    from headway.cli.target import import_app
    from headway.migrate.carrying import Carrying
    from headway.migrate.deciding import Deciding
    from headway.migrate.destination import Destination
    from headway.migrate.mapfile import read_map
    from headway.migrate.repeatables import Repeatables

    path = app_path or os.environ.get("HEADWAY_APP")
    if not path:
        msg = "which app? give --app module:name, or set HEADWAY_APP"
        raise click.UsageError(msg)
    app = import_app(path)
    job_map = read_map(map_)
    words = (*_words(given), "--map", map_, "--app", path)
    async with opened_source(given) as (source, queues), app:
        destination = Destination(app)
        deciding = Deciding(app, job_map, failed=failed, children=children)
        carrying = Carrying(source, destination)
        yield Work(
            source, queues, deciding, destination, carrying, Repeatables(source, deciding, app), app, words
        )


def _words(given: Given) -> tuple[str, ...]:
    """Return the options of the source as they were typed, without its URL."""
    words = ["--from", given.kind]
    if given.queues:
        words += ["--queues", ",".join(given.queues)]
    if given.prefix is not None:
        words += ["--prefix", given.prefix]
    if given.serializer != DEFAULT_SERIALIZER:
        words += ["--serializer", given.serializer]
    if given.max_size != DEFAULT_MAX_SIZE:
        words += ["--max-size", str(given.max_size)]
    words += ["--allow-pickle"] * given.allow_pickle + ["--history"] * given.history
    return (*words, *(word for one in given.classes for word in ("--allow-class", one)))


async def _note_empty(source: Source, queues: Sequence[str]) -> None:
    """Say it when a queue that was named has nothing: it may be misspelt, or empty just now."""
    from headway.cli.output import printable
    from headway.cli.streams import say

    for queue in queues:
        if any((await source.counts(queue)).values()) or (await source.entries(queue, limit=1)).entries:
            continue
        if not await source.repeatables(queue):
            say(printable(f"{queue}: there is no job there, and none was moved from there"))
