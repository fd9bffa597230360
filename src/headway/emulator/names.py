"""The names of resources: `projects/P/locations/L/queues/Q/tasks/T`, checked as the API checks them."""

from __future__ import annotations

import re
from typing import Final

from headway.emulator.errors import refuse

_LOCATION: Final = r"projects/[A-Za-z0-9:.\-]+/locations/[A-Za-z0-9\-]+"
_QUEUE: Final = rf"{_LOCATION}/queues/[A-Za-z0-9\-]{{1,100}}"
_TASK: Final = rf"{_QUEUE}/tasks/[A-Za-z0-9_\-]{{1,500}}"

_is_location: Final = re.compile(_LOCATION).fullmatch
_is_queue: Final = re.compile(_QUEUE).fullmatch
_is_task: Final = re.compile(_TASK).fullmatch


def check_location(name: str) -> str:
    """Return the name of a location; INVALID_ARGUMENT when it is none."""
    if not _is_location(name):
        refuse(
            f'Invalid resource field value in the request: "{name}" must be '
            '"projects/PROJECT_ID/locations/LOCATION_ID".'
        )
    return name


def check_queue(name: str) -> str:
    """Return the name of a queue; INVALID_ARGUMENT when it is none."""
    if not _is_queue(name):
        refuse(
            f'Queue name must be formatted: "projects/PROJECT_ID/locations/LOCATION_ID/queues/QUEUE_ID", got "{name}"; '
            "QUEUE_ID has at most 100 letters, numbers or hyphens."
        )
    return name


def check_task(name: str) -> str:
    """Return the name of a task; INVALID_ARGUMENT when it is none."""
    if not _is_task(name):
        refuse(
            "Task name must be formatted: "
            f'"projects/PROJECT_ID/locations/LOCATION_ID/queues/QUEUE_ID/tasks/TASK_ID", got "{name}"; '
            "TASK_ID has at most 500 letters, numbers, hyphens or underscores."
        )
    return name


def queue_of(task: str) -> str:
    """Return the queue's name of a checked task name."""
    return task.rpartition("/tasks/")[0]


def location_of(queue: str) -> str:
    """Return the location's name of a checked queue name."""
    return queue.rpartition("/queues/")[0]


def short(name: str) -> str:
    """Return the last part of a name."""
    return name.rpartition("/")[2]
