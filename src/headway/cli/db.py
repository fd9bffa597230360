"""`headway db`: the tables of the records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headway.cli.given_app import takes_app
from headway.cli.options import examples, json_option
from headway.cli.streams import emit

if TYPE_CHECKING:
    from headway.records import FeedState, RecordStore


@click.group(epilog=examples("headway db upgrade shop.jobs:app", "headway db status shop.jobs:app"))
def db() -> None:
    """The tables of the records: make them, bring them to the version of this Headway, see how far they are."""


@db.command(
    epilog=examples("headway db upgrade shop.jobs:app", "headway db upgrade --app shop.jobs:app --json")
)
@takes_app
@json_option("the versions")
def upgrade(app: str, /, *, as_json: bool) -> None:
    """Make the tables of the records of APP, or bring them to the version that this Headway needs.

    Nothing happens when they are. Run it before the processes of a new version start: they refuse tables of another
    one. It is one transaction: tables are of the old version, or of the new one.
    """
    import asyncio

    from headway.cli.output import print_json

    store = _store(app)
    done = asyncio.run(store.upgrade())
    if as_json:
        print_json({"records": store.place.name, "before": done.before, "after": done.after})
    elif done.before == done.after:
        emit(f"{store.place.name}: version {done.after}, nothing to do")
    else:
        emit(f"{store.place.name}: version {done.after}, before {done.before or 'there were no tables'}")


@db.command(
    epilog=examples("headway db status shop.jobs:app", "headway db status --app shop.jobs:app --json")
)
@takes_app
@json_option("how far each carrier is recorded")
def status(app: str, /, *, as_json: bool) -> None:
    """Show how far what happens on the carriers of APP is recorded, and by whom.

    BEHIND is for how long what happened has not been recorded yet; a few seconds of it are the rhythm in which the
    recorder says that it is there. Exit code 2: the tables are missing or of another version.
    """
    import asyncio

    from headway.cli.output import Column, print_json, print_table
    from headway.clock import SystemClock

    store = _store(app)

    async def read() -> list[FeedState]:
        async with store:
            return await store.feeds()

    feeds = [_fields(one, SystemClock().now_ms()) for one in asyncio.run(read())]
    if as_json:
        print_json({"records": store.place.name, "feeds": feeds})
        return
    print_table(
        [Column("carrier"), Column("behind", right=True), Column("gaps", right=True), Column("recorder")],
        [
            [
                one["carrier"],
                "never read" if one["behind_s"] is None else f"{one['behind_s']:.1f} s",
                str(one["gaps"]),
                one["recorder"] or "none",
            ]
            for one in feeds
        ],
        empty="nothing has been recorded yet: run headway recorder",
    )


def _fields(feed: FeedState, now_ms: int) -> dict[str, Any]:
    return {
        "carrier": feed.carrier,
        "behind_s": max(0, now_ms - feed.seen_ms) / 1000 if feed.seen_ms else None,
        "gaps": feed.gaps,
        "recorder": feed.holder if feed.until_ms > now_ms else "",
    }


def _store(app: str) -> RecordStore:
    from headway.cli.recorder import records_of
    from headway.cli.target import import_app

    return records_of(import_app(app))
