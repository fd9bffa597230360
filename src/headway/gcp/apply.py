"""Carry a plan out: in its order, and no further than the first failure."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

from headway.gcp.diff import IN_USE, Create, Delete, Keep, Replace, Update
from headway.gcp.errors import AlreadyThereError, CloudError, NotThereError
from headway.gcp.resources import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.gcp.cloud import Cloud
    from headway.gcp.diff import Plan, Step
    from headway.gcp.resources import Resource


class ApplyError(CloudError):
    """A step failed. `done` are those before it; the others were not begun. Planning again shows what is left."""

    def __init__(self, done: tuple[Step, ...], failed: Step, left: int, cause: Exception) -> None:
        """Say how far it came."""
        kept = f"{len(done)} of {len(done) + 1 + left} steps are done" if done else "nothing was changed"
        super().__init__(f"{cause} ({kept}; correct it and apply again, which goes on from here)")
        self.done = done
        self.failed = failed


async def apply(
    plan: Plan, cloud: Cloud, said: Callable[[Step], None] | None = None, *, force: bool = False
) -> tuple[Step, ...]:
    """Do the pending steps and return what was done; `said` hears of each. Raises ApplyError.

    A plan is as old as the answer to "delete these?". So a queue is looked at once more right before it is deleted: one
    in which jobs wait by now is kept, unless `force`.
    """
    pending = plan.pending
    done: list[Step] = []
    for step in pending:
        try:
            done.append(await _do(step, cloud, force=force))
        except CloudError as error:
            raise ApplyError(tuple(done), step, len(pending) - len(done) - 1, error) from error
        if said is not None:
            said(done[-1])
    return tuple(done)


async def _do(step: Step, cloud: Cloud, *, force: bool) -> Step:
    """Do a step; return what has become of it."""
    provider = cloud.providers[step.resource.kind]
    match step:
        case Create(resource=resource):
            await _create(resource, cloud)
        case Update(resource=resource):
            await provider.update(resource)
        case Replace(resource=resource):
            await _delete(resource, cloud)
            await _create(resource, cloud)
        case Delete(resource=resource):
            guarded = None if force else cloud.guarded(resource.kind)
            if guarded is not None and await guarded.in_use(resource):
                return Keep(resource, IN_USE)
            await _delete(resource, cloud)
        case Keep():
            pass
        case _:
            assert_never(step)
    return step


async def _create(resource: Resource, cloud: Cloud) -> None:
    """Create. One that came between, such as our own call whose answer was lost, is changed if it is the app's."""
    provider = cloud.providers[resource.kind]
    try:
        await provider.create(resource)
    except AlreadyThereError as error:
        for seen in await provider.read([resource]):
            if key_of(seen.resource) == key_of(resource):
                if seen.resource != resource:
                    await provider.update(resource)
                return
        msg = f"{error}: it is not this app's, as it does not bear its mark; give one of them another name"
        raise CloudError(msg) from error


async def _delete(resource: Resource, cloud: Cloud) -> None:
    with suppress(NotThereError):  # that is what was wanted
        await cloud.providers[resource.kind].delete(resource)
