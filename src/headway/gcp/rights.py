"""Who needs which right so that a deployment works. Pure: nothing is asked of anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headway.gcp.accounts import account_path, compute_account, member, pubsub_agent
from headway.gcp.resources import CloudBinding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.gcp.declarations import Deployment
    from headway.gcp.place import Place

_ENQUEUER: Final = "roles/cloudtasks.enqueuer"
_OPERATOR: Final = (
    _ENQUEUER,
    "roles/cloudtasks.viewer",
    "roles/cloudtasks.taskDeleter",
    "roles/cloudtasks.taskRunner",
    "roles/cloudtasks.queueAdmin",
)
_ACT_AS: Final = "roles/iam.serviceAccountUser"
_INVOKER: Final = "roles/run.invoker"
_PUBLISHER: Final = "roles/pubsub.publisher"
_SUBSCRIBER: Final = "roles/pubsub.subscriber"


def needs_number(deployment: Deployment, invokers: Sequence[str]) -> bool:
    """Tell whether accounts with the project's number in their names need rights."""
    nameless = any(not (service.service_account or invokers) for service in deployment.services)
    return nameless or any(subscription.dead_letter for subscription in deployment.subscriptions)


def bindings(
    deployment: Deployment, place: Place, invokers: Sequence[str], number: str | None
) -> list[CloudBinding]:
    """Return the rights. `invokers`: the account whose identity is proved to the receivers, then others they accept.

    Without the project's number those of accounts with it in their names are left out, see `needs_number`.
    """
    found = _to_enqueue(deployment, place, invokers, number) | _to_bury(deployment, place, number)
    return [CloudBinding(target=target, role=role, member=who) for target, role, who in sorted(found)]


def _to_enqueue(
    deployment: Deployment, place: Place, invokers: Sequence[str], number: str | None
) -> set[tuple[str, str, str]]:
    # Receivers make the tasks of retries, and handlers enqueue jobs.
    default = invokers[0] if invokers else compute_account(number) if number is not None else ""
    runs_as = {service.service_account or default for service in deployment.services} - {""}
    enqueuers = {*deployment.enqueuers, *map(member, runs_as)}
    project = f"projects/{place.project}"
    found = {(project, _ENQUEUER, who) for who in enqueuers}
    found |= {(project, role, who) for role in _OPERATOR for who in deployment.operators}
    if invokers:
        # Who creates a task with the identity of an account must be allowed to act as it.
        account = account_path(invokers[0], place.project)
        found |= {(account, _ACT_AS, who) for who in enqueuers.union(deployment.operators)}
    found |= {
        (f"{place.path}/services/{service.name}", _INVOKER, member(invoker))
        for service in deployment.services
        for invoker in invokers
    }
    return found


def _to_bury(deployment: Deployment, place: Place, number: str | None) -> set[tuple[str, str, str]]:
    """Without these rights of Pub/Sub's agent no message ever comes to the dead-letter topic."""
    if number is None:
        return set()
    agent, project = member(pubsub_agent(number)), f"projects/{place.project}"
    found: set[tuple[str, str, str]] = set()
    for subscription in deployment.subscriptions:
        if subscription.dead_letter:
            found.add((f"{project}/topics/{subscription.dead_letter}", _PUBLISHER, agent))
            found.add((f"{project}/subscriptions/{subscription.name}", _SUBSCRIBER, agent))
    return found
