"""What an error of the API means: try again, it is not there, it is there already, or no, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from headway.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError

TRANSIENT: Final = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "ABORTED"}
)
"""What passes by itself. Each call is safe to repeat: creates are of named tasks."""
_MAYBE_APPLIED: Final = frozenset({"UNKNOWN", "CANCELLED", "DATA_LOSS"})
_ACT_AS: Final = "iam.serviceAccounts.actAs"


@dataclass(frozen=True, slots=True)
class Act:
    """A call of the API: what it does in words, and the right that it takes."""

    method: str
    words: str
    right: str


CREATE_TASK: Final = Act("create_task", "creating a task", "cloudtasks.tasks.create")
GET_TASK: Final = Act("get_task", "reading a task", "cloudtasks.tasks.get and cloudtasks.tasks.fullView")
LIST_TASKS: Final = Act("list_tasks", "listing tasks", "cloudtasks.tasks.list and cloudtasks.tasks.fullView")
DELETE_TASK: Final = Act("delete_task", "deleting a task", "cloudtasks.tasks.delete")
RUN_TASK: Final = Act("run_task", "dispatching a task", "cloudtasks.tasks.run")
LIST_QUEUES: Final = Act("list_queues", "listing queues", "cloudtasks.queues.list")
CREATE_QUEUE: Final = Act("create_queue", "creating a queue", "cloudtasks.queues.create")
PAUSE_QUEUE: Final = Act("pause_queue", "pausing a queue", "cloudtasks.queues.pause")
RESUME_QUEUE: Final = Act("resume_queue", "resuming a queue", "cloudtasks.queues.resume")


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of the API: the name of its gRPC status, and its message."""

    status: str
    message: str

    @property
    def transient(self) -> bool:
        """True when the same call may work a moment later."""
        return self.status in TRANSIENT


def failure_of(error: BaseException) -> Failure | None:
    """Read an error of the client, of gRPC or of Google's authentication; None when it is none of those."""
    status = getattr(error, "grpc_status_code", None)
    if status is None and callable(code := getattr(error, "code", None)):
        status = code()
    name = getattr(status, "name", None)
    if isinstance(name, str):
        message = str(getattr(error, "message", "") or _details(error) or error)
        return Failure("UNAUTHENTICATED" if _is_login(message) else name, message)
    if type(error).__module__.startswith("google.auth"):
        # A TransportError passes: the metadata server or the token endpoint did not answer.
        return Failure(
            "UNAVAILABLE" if type(error).__name__ == "TransportError" else "UNAUTHENTICATED", str(error)
        )
    return None


def broker_error(
    failure: Failure, act: Act, *, place: str, queue: str = "", service_account: str = ""
) -> BrokerError:
    """Return the error that tells what failed, on which queue, and what to do."""
    where = f"{place}: queue {queue!r}: " if queue else f"{place}: "
    said = failure.message.strip().rstrip(".") or failure.status
    match failure.status:
        case "PERMISSION_DENIED":
            right = act.right
            if _ACT_AS in failure.message or "actAs" in failure.message:
                right = f"{_ACT_AS} on {service_account or 'the service account of the tokens'}"
            return BrokerRefusedError(
                f"{where}{act.words} was denied ({said}). It takes the right {right}: "
                "`headway gcp apply` grants what the app needs"
            )
        case "NOT_FOUND":
            return BrokerRefusedError(
                f"{where}{act.words} found nothing there ({said}). `headway gcp apply` creates the app's queues; "
                "the option create_queues=1 in the URL creates each at its first job"
            )
        case "UNAUTHENTICATED":
            return BrokerRefusedError(
                f"{where}{act.words}: Google does not accept the credentials ({said}). On a machine of yours run "
                "`gcloud auth application-default login`; on Google Cloud check the service's account"
            )
        case "FAILED_PRECONDITION":
            return BrokerRefusedError(
                f"{where}{act.words} is not possible now ({said}). A deleted queue's name cannot be used again for up "
                "to a week; `headway gcp status` shows the state of the queues"
            )
        case status if status in TRANSIENT or status in _MAYBE_APPLIED:
            return BrokerUnavailableError(
                f"{where}{act.words} failed with {status} ({said}). It may have been applied: repeating it with the "
                "same job ids is safe"
            )
        case status:
            return BrokerRefusedError(f"{where}{act.words} was refused with {status} ({said})")


def _details(error: BaseException) -> str:
    details = getattr(error, "details", None)
    found = details() if callable(details) else ""
    return found if isinstance(found, str) else ""


def _is_login(message: str) -> bool:
    """Tell a login that is over, which gRPC reports as if the network were down."""
    return "Getting metadata from plugin failed" in message and any(
        sign in message for sign in ("Reauthentication", "invalid_grant", "RefreshError")
    )
