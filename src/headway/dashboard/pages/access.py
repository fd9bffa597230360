"""Keys and the audit log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from headway.clock import from_ms
from headway.dashboard.asking import Done, Shown
from headway.server.access.caller import Role
from headway.server.services.key_acts import NewKey
from headway.server.services.problems import InvalidError, MalformedError

if TYPE_CHECKING:
    from headway.dashboard.asking import Asked
    from headway.server.services.key_acts import MadeKey

_PAGE: Final = 50


async def audit(asked: Asked) -> str:
    """Return the page of the audit log."""
    chosen = {name: asked.one(name) for name in ("who", "act", "subject")}
    try:
        page = await asked.services.audit.read(
            after=asked.one("after") or None,
            limit=_PAGE,
            who=chosen["who"] or None,
            act=chosen["act"] or None,
            subject=chosen["subject"] or None,
        )
    except ValueError as error:
        raise MalformedError(str(error)) from error
    return asked.render(
        "audit",
        "Audit",
        entries=page.entries,
        told=_told,
        chosen=chosen,
        trouble=asked.services.audit.trouble,
        first=asked.link(after=None) if asked.one("after") else "",
        next=asked.link(after=page.cursor) if page.cursor else "",
    )


async def keys(asked: Asked) -> str:
    """Return the page of keys."""
    return await _keys(asked, None)


async def create(asked: Asked) -> Shown:
    """Make one, and show its text this once."""
    length = asked.duration_ms("expires")
    try:
        role = Role(asked.needed("role"))
    except ValueError as error:
        msg = f"role: must be one of {', '.join(Role)}"
        raise InvalidError(msg) from error
    wish = NewKey(
        name=asked.needed("name"),
        role=role,
        queues=_names(asked.field("queues")),
        tasks=_names(asked.field("tasks")),
        expires_at=None if length is None else from_ms(asked.now_ms + length),
    )
    return Shown(await _keys(asked, await asked.services.keys.create(asked.caller, wish)))


async def rotate(asked: Asked) -> Shown:
    """Give one a new secret, and show it this once."""
    grace = asked.duration_ms("grace") or 0
    made = await asked.services.keys.rotate(asked.caller, asked.path["key"], grace_ms=grace)
    return Shown(await _keys(asked, made))


async def revoke(asked: Asked) -> Done:
    """End one."""
    key = await asked.services.keys.revoke(asked.caller, asked.path["key"])
    return Done(f"Key {key.name} is revoked.")


async def _keys(asked: Asked, made: MadeKey | None) -> str:
    found = await asked.services.keys.list(asked.caller)
    ordered = sorted(found, key=lambda one: (one.revoked_at is not None, one.name))
    return asked.render("keys", "Keys", keys=ordered, made=made, roles=list(Role), own=asked.caller.key_id)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _told(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"{text[:600]}…" if len(text) > 600 else text  # noqa: PLR2004 - of a row
