"""arq's `Job` as a handle: its methods, its states, and whether there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import libcst as cst
import libcst.matchers as m

from headway.migrate.rewrite.enqueueing import is_enqueue
from headway.migrate.rewrite.site import expression

if TYPE_CHECKING:
    from headway.migrate.rewrite.site import Site

_STATES: Final = {"deferred": "SCHEDULED", "queued": "READY", "in_progress": "RUNNING"}
_POLLING: Final = frozenset({"poll_delay", "pole_delay"})
_GONE: Final = {
    "result_info": "await job.record() has state, attempts, times and errors; await job.result() the result",
    "queue_position": "app.queues.counts tells how many wait",
}


def is_job(site: Site, node: cst.BaseExpression) -> bool:
    """Tell whether an expression is a job: a name for one, an awaited enqueue, or `Job(...)`."""
    inner = node.expression if isinstance(node, cst.Await) else node
    if isinstance(inner, cst.Name):
        return site.is_job(inner.value)
    if isinstance(inner, cst.Call):
        return is_enqueue(inner) or site.arq(inner.func) == "Job"
    return False


def method(site: Site, original: cst.Call, updated: cst.Call, line: int) -> cst.BaseExpression | None:
    """Return what a call of a job's method becomes; None where it is no such call."""
    func = original.func
    if (
        not isinstance(func, cst.Attribute)
        or not is_job(site, func.value)
        or not isinstance(updated.func, cst.Attribute)
    ):
        return None
    match func.attr.value:
        case "abort":
            what = "cancel() asks a running job to end, and answers the state after the request"
            site.check(
                line, what, "await job.wait() where the end matters; abort() answered whether it was aborted"
            )
            return updated.with_changes(func=_renamed(updated.func, "cancel"), args=[])
        case "result":
            kept = [one for one in updated.args if not one.keyword or one.keyword.value not in _POLLING]
            if kept:
                kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
            return updated.with_changes(args=kept)
        case "info":
            what = "record() has other fields than arq's info()"
            site.check(line, what, "look at docs/reference/api.md; an unknown job raises JobNotFoundError")
            return updated.with_changes(func=_renamed(updated.func, "record"), args=[])
        case str() as name if name in _GONE:
            site.by_hand(line, f"job.{name}() has no counterpart", _GONE[name])
            return updated
        case _:
            return updated


def attribute(site: Site, original: cst.Attribute, updated: cst.Attribute) -> cst.Attribute:
    """Rename the attribute with a job's id."""
    if original.attr.value == "job_id" and is_job(site, original.value):
        return _renamed(updated, "id")
    return updated


def made(site: Site, updated: cst.Call, line: int) -> cst.BaseExpression:
    """Return the handle for `Job(job_id, pool)`."""
    ids = [one for one in updated.args if one.keyword is not None and one.keyword.value == "job_id"]
    first = ids[0] if ids else updated.args[0] if updated.args else None
    shown = site.code(first.value) if first is not None else "job_id"
    what = f"the job {shown} is found by the id that Headway gave it, not by a _job_id of your own"
    site.check(line, what, "keep handle.id; options(key=...) returns the job that has the key")
    return expression(f"{site.app()}.job({shown})")


def comparison(site: Site, original: cst.Comparison, updated: cst.Comparison) -> cst.BaseExpression | None:
    """Return what `job is None` and `status == JobStatus.complete` become; None: neither is meant."""
    if len(original.comparisons) != 1:
        return None
    target = original.comparisons[0]
    left, right = original.left, target.comparator
    negated = isinstance(target.operator, cst.IsNot | cst.NotEqual)
    if not isinstance(target.operator, cst.Is | cst.IsNot | cst.Equal | cst.NotEqual):
        return None
    if m.matches(right, m.Name("None")) and (said := duplicate_of(site, left, updated.left)) is not None:
        return expression(f"not {said}" if negated else said)
    if asks_complete(site, original):
        code = site.code(updated.left)
        wrapped = f"({code})" if isinstance(updated.left, cst.Await) and not updated.left.lpar else code
        return expression(f"not {wrapped}.terminal" if negated else f"{wrapped}.terminal")
    return None


def asks_complete(site: Site, node: cst.Comparison) -> bool:
    """Tell whether something is compared with `JobStatus.complete`."""
    if len(node.comparisons) != 1:
        return False
    right = node.comparisons[0].comparator
    equal = isinstance(node.comparisons[0].operator, cst.Is | cst.IsNot | cst.Equal | cst.NotEqual)
    return (
        equal
        and isinstance(right, cst.Attribute)
        and right.attr.value == "complete"
        and is_state(site, right)
    )


def is_state(site: Site, node: cst.Attribute) -> bool:
    """Tell whether this is a member of `JobStatus`."""
    return site.arq(node.value) == "JobStatus"


def truth(site: Site, original: cst.BaseExpression, updated: cst.BaseExpression) -> cst.BaseExpression | None:
    """Return the test in the place of one that asks whether a job was made; None where it asks nothing such."""
    if isinstance(original, cst.BooleanOperation) and isinstance(updated, cst.BooleanOperation):
        right = truth(site, original.right, updated.right)  # the left side is changed wherever it stands
        return None if right is None else updated.with_changes(right=right)
    duplicate = duplicate_of(site, original, updated)
    return None if duplicate is None else expression(f"not {duplicate}")


def duplicate_of(site: Site, original: cst.BaseExpression, updated: cst.BaseExpression) -> str | None:
    """Return what says that no job was made, of a name for a job or an awaited enqueue; None where it is neither."""
    if isinstance(original, cst.Name):
        return f"{original.value}.duplicate" if site.is_enqueued(original.value) else None
    inner = original.value if isinstance(original, cst.NamedExpr) else original
    if not isinstance(inner, cst.Await) or not is_enqueue(inner.expression):
        return None
    code = site.code(updated)
    return f"{code}.duplicate" if updated.lpar else f"({code}).duplicate"


def state(site: Site, node: cst.Attribute, line: int) -> cst.BaseExpression | None:
    """Return the state in the place of one of `JobStatus`; None where it is none."""
    if not is_state(site, node):
        return None
    ours = _STATES.get(node.attr.value)
    if ours is None:
        what = f"JobStatus.{node.attr.value} has no one counterpart"
        todo = "state.terminal is true of jobs that have ended; unknown ones raise JobNotFoundError"
        site.by_hand(line, what, todo)
        return None
    return expression(f"{site.headway('JobState')}.{ours}")


def _renamed(node: cst.Attribute, name: str) -> cst.Attribute:
    return node.with_changes(attr=cst.Name(name))
