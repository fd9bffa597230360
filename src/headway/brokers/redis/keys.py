"""Names of keys and channels. All of an app share a hash tag, so that scripts are atomic in a Cluster too."""

from __future__ import annotations

from typing import Final

from headway.errors import ConfigError

_MAX_NAMESPACE: Final = 128


def prefix(namespace: str) -> str:
    """Return the prefix of all keys of the app; ConfigError when the namespace cannot be a hash tag."""
    if not namespace or len(namespace) > _MAX_NAMESPACE:
        msg = f"the app's name must have 1 to {_MAX_NAMESPACE} characters to name Redis keys, got {len(namespace)}"
        raise ConfigError(msg)
    if any(character in "{}" or not character.isprintable() for character in namespace):
        msg = f"the app's name {namespace!r} cannot name Redis keys: braces and control characters are not allowed"
        raise ConfigError(msg)
    return f"hw:{{{namespace}}}:"


def worker_channel(start: str, worker: str) -> str:
    """The channel of a worker: jobs, requests to cancel and to drain, the loss of its lease."""
    return f"{start}ch:w:{worker}"


def process_channel(start: str, token: str) -> str:
    """The channel of a process: the ends of jobs that it waits for."""
    return f"{start}ch:p:{token}"


def event_channel(start: str) -> str:
    """The channel that says that the event stream has grown."""
    return f"{start}ch:ev"
