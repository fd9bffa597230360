"""Plans and states in texts and in plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

import click

from headway.cli.streams import emit
from headway.gcp.diff import Create, Delete, Keep, Replace, Update
from headway.gcp.resources import CloudBinding, CloudQueue, CloudSchedule, CloudService, Kind, key_of

if TYPE_CHECKING:
    from headway.gcp.diff import Change, Plan, Step
    from headway.gcp.resources import Resource, Seen

_DONE: Final = {"create": "created", "change": "changed", "replace": "replaced", "delete": "deleted"}


def verb(step: Step) -> str:
    """Return what the step does."""
    match step:
        case Create():
            return "create"
        case Update():
            return "change"
        case Replace():
            return "replace"
        case Delete():
            return "delete"
        case Keep():
            return "keep"
        case _:
            assert_never(step)


def print_plan(plan: Plan) -> None:
    """Print what would be done, and a line that counts it."""
    for step in plan.steps:
        for line in _lines(step):
            emit(line)
    counts: dict[str, int] = dict.fromkeys(_DONE, 0)
    for step in plan.pending:
        counts[verb(step)] += 1
    if plan.pending:
        emit(f"Plan: {', '.join(f'{count} to {name}' for name, count in counts.items() if count)}.")
    else:
        emit("No changes: everything is as declared.")


def done_line(step: Step) -> str:
    """Return what is said of a step that is done."""
    reason = f"  ({step.reason})" if isinstance(step, Keep) and step.reason else ""
    return f"{_DONE.get(verb(step), 'kept')} {step.resource.kind} {step.resource.name}{reason}"


def step_fields(step: Step) -> dict[str, Any]:
    """Return a step as plain data; values that may be secrets are hidden."""
    changes: tuple[Change, ...] = step.changes if isinstance(step, Update | Replace) else ()
    return {
        "action": verb(step),
        "kind": str(step.resource.kind),
        "name": step.resource.name,
        "changes": [{"field": one.field, "before": one.before, "after": one.after} for one in changes],
        "reason": step.reason if isinstance(step, Keep) else "",
    }


def state_fields(wanted: list[Resource], seen: list[Seen], plan: Plan) -> list[dict[str, Any]]:
    """Return each resource, wanted or there, with its state."""
    steps = {key_of(step.resource): step for step in plan.steps}
    there = {key_of(one.resource): one for one in seen}
    order = list(Kind)
    resources = {key_of(one): one for one in (*(one.resource for one in seen), *wanted)}
    return [
        {
            "kind": str(resource.kind),
            "name": resource.name,
            "state": _state(steps[key], there.get(key)),
            "paused": key in there and there[key].paused,
            "settings": _summary(resource),
            "detail": _detail(steps[key], there.get(key)),
        }
        for key, resource in sorted(resources.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    ]


def _detail(step: Step, seen: Seen | None) -> str:
    if seen is None:
        return ""
    if seen.broken:
        return seen.broken
    return step.reason if isinstance(step, Keep) and step.reason else seen.detail


def _state(step: Step, seen: Seen | None) -> str:
    match step:
        case Create():
            return "missing"
        case Update() | Replace():
            return "drifted"
        case Delete():
            return "not declared"
        case Keep(reason=reason):
            if seen is not None and seen.broken:
                return "failed"
            if reason:
                return "not declared"
            return "paused" if seen is not None and seen.paused else "as declared"
        case _:
            assert_never(step)


def _lines(step: Step) -> list[str]:
    named = f"{step.resource.kind} {step.resource.name}"
    match step:
        case Create():
            summary = _summary(step.resource)
            return [click.style(f"+ create {named}", fg="green") + (f"  ({summary})" if summary else "")]
        case Update():
            return [click.style(f"~ change {named}", fg="yellow"), *map(_change, step.changes)]
        case Replace():
            head = click.style(f"! replace {named}", fg="red") + "  (what it holds is lost)"
            return [head, *map(_change, step.changes)]
        case Delete():
            return [click.style(f"- delete {named}", fg="red") + _loss(step.resource)]
        case Keep():
            return [f"  keep {named}  ({step.reason})"] if step.reason else []
        case _:
            assert_never(step)


def _change(change: Change) -> str:
    return f"    {change.field}: {change.before} -> {change.after}"


def _loss(resource: Resource) -> str:
    return "  (with any job that waits in it)" if isinstance(resource, CloudQueue) else ""


def _summary(resource: Resource) -> str:
    match resource:
        case CloudQueue():
            return f"{resource.rate:g}/s, {resource.concurrency} at once"
        case CloudSchedule():
            return f"{resource.cron} {resource.timezone}"
        case CloudService():
            return f"{resource.cpu} CPU, {resource.memory}, {resource.timeout_s} s, {resource.image}"
        case CloudBinding():
            return ""
        case _:
            return ""
