"""A stored call, decoded into the arguments of its handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from headway.codec import decode_call

if TYPE_CHECKING:
    from headway.app.task import Task


class Invocation(Struct, frozen=True):
    """A call, decoded. `timeout` is seconds."""

    args: list[Any] | tuple[Any, ...]
    kwargs: dict[str, Any]
    headers: dict[str, str]
    timeout: float


def read_invocation(task: Task[Any, Any], payload: bytes) -> Invocation:
    """Decode a call; CodecError names what is damaged or does not fit."""
    whole = task.signature.decode_positional(payload)
    if whole is not None:
        timeout_ms = whole.timeout_ms or task.options_declared.timeout_ms
        return Invocation(whole.args, {}, whole.headers, timeout_ms / 1000)
    call, form = decode_call(payload)
    args, kwargs = task.signature.decode(call, form)
    return Invocation(
        args, kwargs, call.headers, (call.timeout_ms or task.options_declared.timeout_ms) / 1000
    )
