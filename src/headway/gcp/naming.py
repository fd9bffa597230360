"""What marks a resource as one of an app: a label where the service has labels, else a name or a description."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from headway.brokers.cloudtasks.api.names import queue_id

LABEL: Final = "headway-app"
_LABEL_VALUE: Final = re.compile(r"[a-z0-9_-]{1,63}")
_OTHER: Final = re.compile(r"[^a-z0-9_-]")


def label_of(namespace: str) -> str:
    """Return the value of the label: the namespace where a label can hold it, else what is left of it and a hash."""
    if _LABEL_VALUE.fullmatch(namespace):
        return namespace
    digest = blake2b(namespace.encode(), digest_size=4).hexdigest()
    return f"{_OTHER.sub('-', namespace.lower())[:54]}-{digest}"


def schedule_id(namespace: str, schedule: str) -> str:
    """Return the id of the Cloud Scheduler job of a schedule."""
    return queue_id(namespace, schedule)


def description_of(namespace: str, schedule: str) -> str:
    """Return the description of a Cloud Scheduler job, which has no labels."""
    return f"{LABEL}={label_of(namespace)}: schedule {schedule}"


def schedule_of(namespace: str, description: str) -> str | None:
    """Return the schedule that a description names; None when it is not of this app."""
    head, colon, schedule = description.partition(": schedule ")
    return schedule if colon and head == f"{LABEL}={label_of(namespace)}" else None
