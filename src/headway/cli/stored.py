"""`headway offload`, and the offloaded calls and results of the jobs that other commands show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from headway.cli.options import DURATION, examples, json_option
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target
from headway.errors import ConfigError, HeadwayError

if TYPE_CHECKING:
    from headway.cli.target import OpenTarget
    from headway.job import JobRecord
    from headway.offload.payloads import Offload


@click.group(epilog=examples("headway offload prune --app shop.jobs:app"))
def offload() -> None:
    """Look after the store of large calls and results."""


@offload.command(
    epilog=examples(
        "headway offload prune --app shop.jobs:app",
        "headway offload prune --older-than 30d --dry-run --app shop.jobs:app",
    )
)
@click.option(
    "--older-than",
    type=DURATION,
    default="8d",
    show_default=True,
    help="Only what was stored so long ago, at least a day.",
)
@click.option("--dry-run", is_flag=True, help="Count only.")
@json_option("how many were removed and kept")
@takes_target
def prune(target: Target, *, older_than: float, dry_run: bool, as_json: bool) -> None:
    """Remove stored calls and results of jobs that the carrier no longer knows.

    What a job still needs stays, however old it is.
    """
    from headway.cli.output import print_json
    from headway.offload.pruning import Pruned, prune_offloaded

    async def work(opened: OpenTarget) -> Pruned:
        store = store_of(opened)
        if store is None:
            msg = "the setting offload is empty: there is no store to prune"
            raise ConfigError(msg)
        return await prune_offloaded(
            store, opened.carrier, older_than_ms=round(older_than * 1000), dry_run=dry_run
        )

    pruned = with_target(target, work)
    if as_json:
        print_json({"removed": pruned.removed, "kept": pruned.kept, "dry_run": dry_run})
    else:
        emit(f"{pruned.removed} {'would be ' if dry_run else ''}removed, {pruned.kept} kept")


def store_of(opened: OpenTarget) -> Offload | None:
    """Return the store of an app, or of the settings where no code was imported; None when there is none."""
    if opened.app is not None:
        return opened.app.offload
    if not opened.settings.offload:
        return None
    from headway.clock import SystemClock
    from headway.offload.payloads import Offload

    return Offload(opened.settings, opened.settings.namespace, SystemClock())


async def fetched(opened: OpenTarget, record: JobRecord) -> tuple[JobRecord, list[str]]:
    """Return the record with its call and its result whole, and what of them could not be had, and why."""
    from msgspec import structs

    from headway.codec import is_reference

    if not (is_reference(record.payload) or is_reference(record.result)):
        return record, []
    from headway.offload.payloads import whole

    store = store_of(opened)
    unreadable: list[str] = []
    changes: dict[str, bytes] = {}
    for field, shown, payload in (
        ("payload", "arguments", record.payload),
        ("result", "result", record.result),
    ):
        try:
            changes[field] = await whole(store, payload)
        except HeadwayError as error:
            unreadable.append(f"{shown}: {error}")
    return structs.replace(record, **changes), unreadable
