"""Which fields an update of a queue changes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from headway.emulator.errors import refuse
from headway.emulator.messages import queue_message, read_rate, read_retry, read_target
from headway.emulator.model import Queue
from headway.emulator.wire import QueueMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headway.emulator.wire import Message

_SETTABLE: Final = ("rate_limits", "retry_config", "http_target", "stackdriver_logging_config")
_OUTPUT_ONLY: Final = ("name", "state", "purge_time", "rate_limits.max_burst_size")
_NO_DOUBLINGS: Final = "retry_config.max_doublings"


def read_queue(message: Message, *, was: Queue | None = None, mask: Sequence[str] = ()) -> Queue:
    """Return the queue that a request asks for: all of it, or `was` with the fields that the mask names.

    What is not set is never 0: it takes the service's default. INVALID_ARGUMENT for a mask that names no field.
    """
    paths = [snake(path) for path in mask if path != "*"]
    for path in paths:
        _check_path(path)
    wanted = QueueMessage()
    if was is None or not paths:
        wanted.CopyFrom(message)
    else:
        wanted.CopyFrom(queue_message(was))
        for path in paths:
            if path not in _OUTPUT_ONLY:
                _copy(message, wanted, path.split("."))
    _refuse_app_engine(wanted)
    name = wanted.name if was is None else was.name
    doublings_named = _NO_DOUBLINGS in paths
    # A queue that had none keeps none when a mask names other fields.
    kept_none = (
        was is not None and bool(paths) and was.retry.max_doublings == 0 and "retry_config" not in paths
    )
    queue = Queue(
        name=name,
        rate=read_rate(wanted.rate_limits),
        retry=read_retry(wanted.retry_config, no_doublings=doublings_named or kept_none),
        target=read_target(wanted.http_target) if wanted.HasField("http_target") else None,
        sampling_ratio=(
            wanted.stackdriver_logging_config.sampling_ratio
            if wanted.HasField("stackdriver_logging_config")
            else None
        ),
    )
    if was is None:
        return queue
    return Queue(
        queue.name, queue.rate, queue.retry, was.state, queue.target, queue.sampling_ratio, was.purged_ms
    )


def _copy(source: Message, into: Message, path: Sequence[str]) -> None:
    """Copy one field, or clear it when it is not set: protobuf's own masks leave it then."""
    *outer, last = path
    for step in outer:
        source, into = getattr(source, step), getattr(into, step)
    into.ClearField(last)
    for field, value in source.ListFields():
        if field.name != last:
            continue
        if field.message_type is None:
            setattr(into, last, value)
        elif hasattr(value, "CopyFrom"):
            getattr(into, last).CopyFrom(value)
        else:
            getattr(into, last).extend(value)


def snake(path: str) -> str:
    """Return a path of a mask as protobuf spells it; REST clients write it in camel case."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1].lower()}", path)


def _check_path(path: str) -> None:
    if path in _OUTPUT_ONLY:
        return
    first = path.partition(".")[0]
    if first == "app_engine_routing_override":
        refuse("App Engine targets are not supported by this emulator: use HTTP targets.")
    descriptor = QueueMessage.DESCRIPTOR
    if first in _SETTABLE:
        for step in path.split("."):
            field = None if descriptor is None else descriptor.fields_by_name.get(step)
            if field is None:
                break
            # A mask may name a list, but nothing inside it.
            descriptor = None if field.is_repeated else field.message_type
        else:
            return
    refuse(f'Invalid field mask: Queue has no field "{path}" that can be updated.')


def _refuse_app_engine(message: Message) -> None:
    if message.HasField("app_engine_routing_override"):
        refuse("App Engine targets are not supported by this emulator: use HTTP targets.")
