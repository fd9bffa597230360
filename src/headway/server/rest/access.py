"""Keys and the audit log by HTTP."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headway.server.access.audit import AuditPage
from headway.server.rest.operation import Call, Reply, operation
from headway.server.rest.paging import After, Limit, next_link
from headway.server.rest.wire import milliseconds
from headway.server.services.key_acts import Key, MadeKey, NewKey
from headway.server.services.problems import InvalidError


class KeyList(Struct, frozen=True):
    """Keys, the oldest first."""

    keys: list[Key]


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    """For how long the present key is good beside the new one."""

    grace: Annotated[str, Meta(pattern=r"^[0-9]{1,9}(ms|s|m|h|d)?$")] = "24h"


class AuditQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries."""

    who: str | None = None
    act: str | None = None
    subject: str | None = None
    after: After | None = None
    limit: Limit = 100


@operation(answer=KeyList)
async def list_keys(call: Call) -> Reply:
    """List the API keys, without their secrets."""
    return Reply(KeyList(await call.state.services.keys.list(call.caller)))


@operation(answer=Key)
async def get_key(call: Call) -> Reply:
    """Return one key by its id or prefix."""
    return Reply(await call.state.services.keys.get(call.caller, call.path["key"]))


@operation(
    body=NewKey, answer=MadeKey, status=201, example={"name": "ci", "role": "operate", "queues": ["email"]}
)
async def create_key(call: Call) -> Reply:
    """Make a key; its text is in this answer and nowhere else."""
    made = await call.state.services.keys.create(call.caller, call.body)
    return Reply(made, headers={"location": f"/v1/keys/{made.id}", "cache-control": "no-store"})


@operation(body=Rotation, answer=MadeKey, body_optional=True, example={"grace": "24h"})
async def rotate_key(call: Call) -> Reply:
    """Give a key a new secret; the present one is good for a while longer."""
    grace_ms = milliseconds(call.body.grace if call.body is not None else "24h", "grace")
    made = await call.state.services.keys.rotate(call.caller, call.path["key"], grace_ms=grace_ms)
    return Reply(made, headers={"cache-control": "no-store"})


@operation(answer=Key)
async def revoke_key(call: Call) -> Reply:
    """End a key, in all server processes within 2 s."""
    return Reply(await call.state.services.keys.revoke(call.caller, call.path["key"]))


@operation(query=AuditQuery, answer=AuditPage)
async def read_audit(call: Call) -> Reply:
    """Return the audit log, the latest change first: who did what, what was there before and after."""
    asked: AuditQuery = call.query
    try:
        page = await call.state.services.audit.read(
            after=asked.after, limit=asked.limit, who=asked.who, act=asked.act, subject=asked.subject
        )
    except ValueError as error:
        raise InvalidError(str(error)) from error
    return Reply(page, headers=next_link(call.url, page.cursor))
