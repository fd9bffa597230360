"""Control documents and their leases."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Final

from headway.brokers.redis.records import number
from headway.control import ControlDocument, Fence

if TYPE_CHECKING:
    from headway.brokers.redis.session import Session
    from headway.brokers.redis.wire.call import Argument

_log: Final = logging.getLogger("headway.redis")
_NO_VERSION: Final = 0


async def read(session: Session, name: str, newer_than: int) -> ControlDocument | None:
    """Return the document unless it still has that version."""
    found = await _versions(session, name, newer_than, 1)
    return found[0] if found else None


async def history(session: Session, name: str, limit: int) -> list[ControlDocument]:
    """Return the last versions of the document, the present one first."""
    return await _versions(session, name, _NO_VERSION, limit)


async def _versions(session: Session, name: str, known: int, limit: int) -> list[ControlDocument]:
    answer = await session.run("read_control", name, known, limit)
    if not answer:
        return []
    now, texts = int(answer[0]), answer[1]
    found: list[ControlDocument] = []
    for text in texts:
        try:
            found.append(_document(name, text, now))
        except ValueError:
            _log.warning("a version of control document %r is left out: its stored bytes are damaged", name)
    return found


def _document(name: str, text: bytes, now_ms: int) -> ControlDocument:
    version, changed, body = text.split(b"|", 2)
    changed_ms = number(changed)
    return ControlDocument(name, number(version), body, changed_ms, max(0, now_ms - changed_ms))


async def write(
    session: Session, name: str, body: bytes, expected: int, fence: Fence | None, *, keep: int
) -> int | None:
    """Write the version that follows on `expected`; None when that is not the present one, or the fence is stale."""
    # The call has a name: its repeat, sent when an answer was lost, then gets the answer of the first.
    arguments: list[Argument] = [secrets.token_hex(8), name, expected, body, keep]
    if fence is not None:
        arguments += [fence.name, f"{fence.token}|{fence.holder}"]
    [version] = await session.run("write_control", *arguments)
    return version or None


async def hold(session: Session, name: str, holder: str, ttl_ms: int) -> Fence | None:
    """Take the lease for `ttl_ms`, or extend it; None while another holder has it."""
    token = await session.run("hold_control", name, holder, ttl_ms)
    return Fence(name, holder, token) if token else None


async def release(session: Session, fence: Fence) -> None:
    """End the lease, if it is this one."""
    await session.run("hold_control", fence.name, fence.holder, 0, fence.token)
