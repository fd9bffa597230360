"""All pages and acts of the dashboard. Which role each needs is declared here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import unquote

from headway.dashboard.pages import (
    access,
    acts,
    design,
    failures,
    history,
    jobs,
    migrations,
    new,
    overview,
    queues,
    routes,
    schedules,
    workers,
)
from headway.server.access.caller import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headway.dashboard.asking import Asked, Done, Shown


class Page(NamedTuple):
    """A page: what is looked at."""

    path: str
    role: Role
    page: Callable[[Asked], Awaitable[str]]


class Act(NamedTuple):
    """An act: what a form does."""

    path: str
    role: Role
    act: Callable[[Asked], Awaitable[Done | Shown]]


E = TypeVar("E", Page, Act)
_READ, _OPERATE, _ADMIN = Role.READ, Role.OPERATE, Role.ADMIN

PAGES: Final[tuple[Page, ...]] = (
    Page("/", _READ, overview.overview),
    Page("/jobs", _READ, jobs.jobs),
    Page("/jobs/{job}", _READ, jobs.job),
    Page("/history", _READ, history.history),
    Page("/history/{job}", _READ, history.record),
    Page("/new", _OPERATE, new.new),
    Page("/queues", _READ, queues.queues),
    Page("/failures", _READ, failures.failures),
    Page("/schedules", _READ, schedules.schedules),
    Page("/new-schedule", _OPERATE, schedules.new),
    Page("/acts", _READ, acts.acts),
    Page("/acts/{act}", _READ, acts.act),
    Page("/workers", _READ, workers.workers),
    Page("/routes", _READ, routes.routes),
    Page("/routes/{queue}", _READ, routes.route),
    Page("/migrations", _READ, migrations.migrations),
    Page("/migrations/{migration}", _READ, migrations.migration),
    Page("/design", _READ, design.design),
    Page("/audit", _ADMIN, access.audit),
    Page("/keys", _ADMIN, access.keys),
)

ACTS: Final[tuple[Act, ...]] = (
    Act("/jobs/act", _OPERATE, jobs.act_on_marked),
    Act("/jobs/{job}/act", _OPERATE, jobs.act_on_job),
    Act("/jobs/{job}/change", _OPERATE, jobs.change_job),
    Act("/new", _OPERATE, new.create),
    Act("/queues/{queue}/pause", _OPERATE, queues.pause),
    Act("/queues/{queue}/resume", _OPERATE, queues.resume),
    Act("/queues/{queue}/drain", _OPERATE, queues.drain),
    Act("/queues/{queue}/clean", _OPERATE, queues.clean),
    Act("/workers/{worker}/drain", _OPERATE, workers.drain),
    Act("/acts", _OPERATE, acts.begin),
    Act("/acts/{act}/cancel", _OPERATE, acts.cancel),
    Act("/schedules", _OPERATE, schedules.create),
    Act("/schedules/{schedule}/delete", _OPERATE, schedules.delete),
    Act("/schedules/{schedule}/pause", _OPERATE, schedules.pause),
    Act("/schedules/{schedule}/resume", _OPERATE, schedules.resume),
    Act("/schedules/{schedule}/run", _OPERATE, schedules.run),
    Act("/routes/roll-back", _ADMIN, routes.roll_back),
    Act("/routes/{queue}/set", _ADMIN, routes.change),
    Act("/routes/{queue}/begin", _ADMIN, routes.begin),
    Act("/routes/{queue}/act", _ADMIN, routes.act),
    Act("/keys", _ADMIN, access.create),
    Act("/keys/{key}/rotate", _ADMIN, access.rotate),
    Act("/keys/{key}/revoke", _ADMIN, access.revoke),
)


def find(entries: Sequence[E], path: str) -> tuple[E, dict[str, str]] | None:
    """Return the entry of a path, with the parts that it names; None when there is none."""
    given = path.strip("/").split("/")
    for entry in entries:
        wanted = entry.path.strip("/").split("/")
        if len(wanted) == len(given) and all(
            one.startswith("{") or one == other for one, other in zip(wanted, given, strict=True)
        ):
            named = zip(wanted, given, strict=True)
            return entry, {one[1:-1]: unquote(other) for one, other in named if one.startswith("{")}
    return None
