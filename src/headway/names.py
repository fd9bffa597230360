"""Names that users give to tasks, queues, schedules and apps: which of them every carrier can hold."""

from __future__ import annotations

import re
from typing import Final

from headway.errors import DeclarationError

MAX_NAME: Final = 200  # characters of a task's, queue's or schedule's name
MAX_KEY: Final = 500  # characters of an idempotency key
# Names travel through Redis keys, URLs, command lines and metric labels.
_NAME: Final = re.compile(r"[^\s,{}\x00-\x1f\x7f\ud800-\udfff][^,{}\x00-\x1f\x7f\ud800-\udfff]*")


def checked_name(what: str, name: str) -> str:
    """Return the name of a task, queue, schedule or app when every carrier can hold it."""
    try:
        return valid_name(name, what)
    except ValueError as error:
        raise DeclarationError(str(error)) from error


def valid_name(name: object, what: str) -> str:
    """Return the name; ValueError with the rule that it breaks."""
    if not isinstance(name, str) or len(name) > MAX_NAME or not _NAME.fullmatch(name):
        rule = f"1 to {MAX_NAME} characters, no commas, braces or control characters, no space in front"
        msg = f"{what} name {name!r}: {rule}"
        raise ValueError(msg)
    return name
