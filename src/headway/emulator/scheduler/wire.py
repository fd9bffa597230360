"""The classes of the API's messages. Type checkers disagree about them, so all are Any, from here on and in one place.

Those of proto-plus: they hold durations and instants as Python has them, and there are few calls.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headway.emulator.wire import Message

_types: Final[Message] = import_module("google.cloud.scheduler_v1.types")

Job: Final[Message] = _types.Job
HttpMethod: Final[Message] = _types.HttpMethod
HttpTarget: Final[Message] = _types.HttpTarget
ListJobsResponse: Final[Message] = _types.ListJobsResponse
RetryConfig: Final[Message] = _types.RetryConfig


def request_class(name: str) -> Message:
    """Return the class of a request, such as `CreateJobRequest`."""
    return getattr(_types, name)
