"""Queues that are there from the start: `--queue PROJECT/LOCATION/NAME=5,concurrent=10,attempts=3`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from headway.emulator.wire import request_class
from headway.errors import ConfigError

if TYPE_CHECKING:
    from headway.emulator.wire import Message

_FORM: Final = "PROJECT/LOCATION/NAME=5,concurrent=10,attempts=3"
_is_short: Final = re.compile(r"([^/=]+)/([^/=]+)/([^/=]+)").fullmatch
_is_full: Final = re.compile(r"projects/[^/=]+/locations/[^/=]+/queues/[^/=]+").fullmatch


def parse_queue(text: str) -> Message:
    """Return the request that makes a queue, or gives it its limits; ConfigError says what is wrong with the text.

    What is not given has the service's default.
    """
    name, _, limits = text.partition("=")
    if (short := _is_short(name)) is not None:
        name = f"projects/{short[1]}/locations/{short[2]}/queues/{short[3]}"
    if not _is_full(name):
        raise _bad(text)
    wanted = request_class("UpdateQueueRequest")()
    queue = wanted.queue
    queue.name = name
    for part in filter(None, (piece.strip() for piece in limits.split(","))):
        key, _, value = part.rpartition("=")
        try:
            match key or "rate":
                case "rate":
                    queue.rate_limits.max_dispatches_per_second = float(value)
                    path = "rate_limits.max_dispatches_per_second"
                case "concurrent":
                    queue.rate_limits.max_concurrent_dispatches = int(value)
                    path = "rate_limits.max_concurrent_dispatches"
                case "attempts":
                    queue.retry_config.max_attempts = int(value)
                    path = "retry_config.max_attempts"
                case _:
                    raise _bad(text)
        except (ValueError, OverflowError) as error:
            raise _bad(text) from error
        wanted.update_mask.paths.append(path)
    return wanted


def _bad(text: str) -> ConfigError:
    return ConfigError(f"queue {text!r}: write its name and, behind an equals sign, its limits: {_FORM}")
