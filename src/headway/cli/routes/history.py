"""`headway routes history`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from headway.cli.options import examples, json_option
from headway.cli.streams import emit
from headway.cli.target import Target, takes_target, with_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.cli.target import OpenTarget
    from headway.routing.declared import Declared
    from headway.routing.table import RouteTable

_MOST: Final = 100  # versions that control stores keep


@click.command(
    epilog=examples(
        "headway routes history --app shop.jobs:app",
        "headway routes history --limit 5 --app shop.jobs:app --json",
    )
)
@click.option(
    "--limit", type=click.IntRange(1, _MOST), default=20, show_default=True, help="At most so many versions."
)
@json_option("the versions")
@takes_target
def history(target: Target, *, limit: int, as_json: bool) -> None:
    """Show the last versions of the routes, the present one first: who changed what, when and why."""
    from headway.cli.output import print_json, printable
    from headway.cli.routes.known import declared_of
    from headway.routing.changing import control_of, routes_history

    async def read(opened: OpenTarget) -> list[dict[str, Any]]:
        declared = declared_of(opened)
        tables = await routes_history(control_of(opened.carriers), min(limit + 1, _MOST))
        return [_fields(table, tables, declared) for table in tables[:limit]]

    found = with_target(target, read)
    if as_json:
        print_json({"versions": found})
        return
    if not found:
        emit("no versions: the routes were never changed by hand; those of the settings count")
    for one in found:
        emit(click.style(f"version {one['version']}", bold=True) + printable(_said(one)))
        for line in _lines(one["changes"]):
            emit(f"  {printable(line)}")


def _lines(changes: Sequence[str] | None) -> Sequence[str]:
    if changes is None:
        return ["what changed cannot be said: the version before is kept no more"]
    return changes or ["the same routes as before"]


def _fields(table: RouteTable, tables: Sequence[RouteTable], declared: Declared) -> dict[str, Any]:
    from headway.cli.render import iso
    from headway.routing.differences import differences
    from headway.routing.table import RouteTable

    before = next((one for one in tables if one.version == table.parent), None)
    if table.parent == 0:
        before = RouteTable()
    changes = None
    if before is not None:
        changes = differences(declared.over(before), declared.over(table), declared.first)
    return {
        "version": table.version,
        "at": iso(table.when_ms),
        "who": table.who,
        "reason": table.why,
        "restores": table.restores or None,
        "routes": {queue: route.weights for queue, route in table.routes.items()},
        "changes": changes,
    }


def _said(one: dict[str, Any]) -> str:
    parts = [f"  {one['at']}  {one['who'] or '?'}"]
    if one["restores"] is not None:
        parts.append(f"back to version {one['restores']}")
    if one["reason"]:
        parts.append(one["reason"])
    return "  ".join(parts)
