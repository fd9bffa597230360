"""The names that queues and jobs have in Cloud Tasks.

Of two apps in one project, and of two queues of an app, none may meet: an id is readable where that leaves no doubt
about what it stands for, and carries a hash otherwise.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

_LONGEST: Final = 96  # of the 100 characters that Cloud Tasks allows, without the band
_HASH: Final = 8  # hexadecimal digits
# Split at the last hyphen, a readable id gives both names back: so the queue's has none. Nor does it look like what is
# appended, a hash or a band.
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_QUEUE: Final = re.compile(r"(?!p[0-9]+$|[0-9a-f]{8}$)[A-Za-z0-9]+", re.ASCII)
_BAND: Final = re.compile(r"-p([1-9][0-9]*)$")
_HASHED: Final = re.compile(r"-[0-9a-f]{8}(?:-p[1-9][0-9]*)?$")
_OTHER: Final = re.compile(r"[^A-Za-z0-9]+")


def queue_id(namespace: str, queue: str, band: int = 0) -> str:
    """Return the id of the Cloud Tasks queue for this queue of the app, and for this band of priorities.

    `shop-mail` where both names are plain, else the names as far as they can be written and a hash of what they are.
    Band 0 is the queue itself; the others append `-p<band>`.
    """
    return _readable_id(namespace, queue) + (f"-p{band}" if band else "")


def is_readable(namespace: str, queue: str) -> bool:
    """Tell whether `queue_of` finds the queue's name from its id."""
    return (
        len(namespace) + len(queue) < _LONGEST
        and _NAMESPACE.fullmatch(namespace) is not None
        and _QUEUE.fullmatch(queue) is not None
    )


def queue_of(namespace: str, identifier: str) -> tuple[str, int] | None:
    """Return the queue and the band that a readable id of the app stands for; None when it is none of those."""
    found = _BAND.search(identifier)
    band = int(found[1]) if found else 0
    base = identifier[: found.start()] if found else identifier
    head, _, queue = base.rpartition("-")
    if head != namespace or not is_readable(namespace, queue):
        return None
    return queue, band


def may_be_of(namespace: str, identifier: str) -> bool:
    """Tell whether this can be the id of a queue of the app: for a hash, only one who knows the names can be sure."""
    if queue_of(namespace, identifier) is not None:
        return True
    return identifier.startswith(id_prefix(namespace)) and _HASHED.search(identifier) is not None


def id_prefix(namespace: str) -> str:
    """Return what the ids of all queues of the app begin with; those of others may as well."""
    return _written(namespace)[: _LONGEST // 2]


def task_id(namespace: str, job_id: str, turn: int) -> str:
    """Return the id of the task that carries this turn of the job.

    A hash: ids that sort, as job ids do, raise the latency of Cloud Tasks.
    """
    return blake2b(f"{namespace}\0{job_id}\0{turn}".encode(), digest_size=16).hexdigest()


def _readable_id(namespace: str, queue: str) -> str:
    if is_readable(namespace, queue):
        return f"{namespace}-{queue}"
    digest = blake2b(f"{namespace}\0{queue}".encode(), digest_size=_HASH // 2).hexdigest()
    shown = f"{id_prefix(namespace)}-{_written(queue)}"[: _LONGEST - _HASH - 1].rstrip("-")
    return f"{shown}-{digest}"


def _written(name: str) -> str:
    return _OTHER.sub("-", name).strip("-") or "x"
