"""What the tasks of a queue need of a carrier, and what a carrier lacks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headway.brokers.base import Capabilities

_DAY_MS: Final = 86_400_000


class TaskNeeds(Struct, frozen=True):
    """What the declaration of one task asks for. `payload` is in bytes."""

    task: str
    queue: str
    unique: bool = False
    priority: bool = False  # another one than the usual
    delay_ms: int = 0  # the longest wait before a retry
    payload: int = 0  # the largest call that the app takes and does not offload


def lacks(carrier: str, able: Capabilities, tasks: Sequence[TaskNeeds]) -> list[str]:
    """Return what the carrier of this name cannot do for tasks that are to go there: a sentence each, none is well."""
    return [sentence for task in tasks for sentence in _lacks(carrier, able, task)]


def _lacks(carrier: str, able: Capabilities, task: TaskNeeds) -> Iterator[str]:
    who = f"task {task.task!r} of queue {task.queue!r}"
    to = carrier if carrier == able.name else f"{carrier} ({able.name})"
    if task.unique and not able.unique:
        yield f"{who} is unique=, and {to} has no unique jobs: take that from it, or leave the queue where it is"
    if task.priority and not able.priority:
        hint = ": set priority_bands" if able.push is not None else ""
        yield f"{who} has a priority, and {to} has none{hint}"
    if able.max_delay_ms is not None and task.delay_ms > able.max_delay_ms:
        yield (
            f"{who} waits up to {task.delay_ms / _DAY_MS:g} days before a retry, and {to} takes "
            f"{able.max_delay_ms / _DAY_MS:g} at most: shorten its retry="
        )
    if task.payload > able.max_payload:
        yield (
            f"{who} may have a call of {task.payload} bytes, and {to} takes {able.max_payload}: lower payload_limit, "
            "or set offload"
        )
