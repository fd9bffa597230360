"""From what is wanted and what is there to what has to be done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from headway.gcp.resources import CloudBinding, CloudService, Kind, Resource, Seen, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable


class Change(Struct, frozen=True):
    """A field that differs, in texts fit to be shown."""

    field: str
    before: str
    after: str


class Create(Struct, frozen=True):
    """It is not there."""

    resource: Resource


class Update(Struct, frozen=True):
    """It is there, and differs."""

    resource: Resource
    changes: tuple[Change, ...]


class Replace(Struct, frozen=True):
    """It differs in what cannot be changed: it is deleted and created anew."""

    resource: Resource
    changes: tuple[Change, ...]


class Delete(Struct, frozen=True):
    """It is there, is ours, and is not wanted any more."""

    resource: Resource


class Keep(Struct, frozen=True):
    """Nothing to do; `reason` when something might be expected."""

    resource: Resource
    reason: str = ""


NOT_MADE: Final = "not made by Headway: left alone"
IN_USE: Final = "no longer declared, but jobs wait in it"

Step = Create | Update | Replace | Delete | Keep


class Plan(Struct, frozen=True):
    """The steps in their order: created is what others need first, deleted last."""

    steps: tuple[Step, ...]

    @property
    def pending(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(step for step in self.steps if not isinstance(step, Keep))

    @property
    def destructive(self) -> tuple[Delete | Replace, ...]:
        """The steps that take something away."""
        return tuple(step for step in self.steps if isinstance(step, Delete | Replace))


def diff(wanted: Iterable[Resource], actual: Iterable[Seen], *, force: bool = False) -> Plan:
    """Compare. A queue in which jobs wait is not deleted unless `force`: no accepted job is lost to a deployment.

    One that Headway did not make is never deleted.
    """
    ranks = {kind: rank for rank, kind in enumerate(Kind)}
    wanted_by_key = {key_of(resource): resource for resource in wanted}
    actual_by_key = {key_of(seen.resource): seen for seen in actual}
    wanted_keys = sorted(wanted_by_key, key=lambda key: (ranks[key[0]], key[1]))
    gone = actual_by_key.keys() - wanted_by_key.keys()
    gone_keys = sorted(gone, key=lambda key: (-ranks[key[0]], key[1]))
    steps: list[Step] = [_towards(wanted_by_key[key], actual_by_key.get(key)) for key in wanted_keys]
    steps += [_away(actual_by_key[key], force=force) for key in gone_keys]
    return Plan(tuple(steps))


def _towards(wanted: Resource, seen: Seen | None) -> Step:
    if seen is None:
        return Create(wanted)
    names = [
        name for name in wanted.__struct_fields__ if getattr(wanted, name) != getattr(seen.resource, name)
    ]
    if not names:
        return Keep(wanted, f"as declared, but {seen.broken}" if seen.broken else "")
    changes = tuple(change for name in names for change in _changes(name, seen.resource, wanted))
    return (Replace if wanted.immutable.intersection(names) else Update)(wanted, changes)


def _away(seen: Seen, *, force: bool) -> Step:
    if isinstance(seen.resource, CloudBinding):
        return Keep(seen.resource, "bindings are never taken away")
    if seen.foreign:
        return Keep(seen.resource, NOT_MADE if force else f"not declared and {NOT_MADE}")
    if seen.busy and not force:
        return Keep(seen.resource, IN_USE)
    return Delete(seen.resource)


def _changes(name: str, before: Resource, after: Resource) -> list[Change]:
    if isinstance(before, CloudService) and isinstance(after, CloudService) and name == "env":
        variables = sorted(before.env.keys() | after.env.keys())
        return [
            Change(f"env.{variable}", _shown(before.env.get(variable)), _shown(after.env.get(variable)))
            for variable in variables
            if before.env.get(variable) != after.env.get(variable)
        ]
    if name in {"headers", "body"}:  # a signature, or unreadable
        return [Change(name, "(hidden)", "(hidden)")]
    return [Change(name, _shown(getattr(before, name)), _shown(getattr(after, name)))]


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case str():
            return value or "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case tuple():
            return " ".join(map(str, value)) or "-"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return repr(value)
