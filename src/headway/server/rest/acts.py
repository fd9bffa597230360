"""Acts on all jobs that match, by HTTP."""

from __future__ import annotations

from msgspec import Struct

from headway.server.rest.operation import Call, Reply, operation
from headway.server.services.acts import Act, NewAct


class ActList(Struct, frozen=True):
    """Acts, the latest first."""

    acts: list[Act]


@operation(answer=ActList)
async def list_acts(call: Call) -> Reply:
    """List the last acts on all jobs that match, the latest first."""
    return Reply(ActList(await call.state.services.acts.list(call.caller)))


@operation(
    body=NewAct,
    answer=Act,
    status=202,
    example={"act": "retry", "query": {"state": ["failed"], "queue": ["email"]}, "dry_run": True},
)
async def create_act(call: Call) -> Reply:
    """Begin to cancel, retry, promote or remove all jobs that match; `dry_run` only counts them.

    It goes on in the server, and survives it: look at its progress, or cancel it. Jobs that come, or end, after this
    call are left alone.
    """
    made = await call.state.services.acts.create(call.caller, call.body)
    return Reply(made, headers={"location": f"/v1/acts/{made.id}"})


@operation(answer=Act)
async def get_act(call: Call) -> Reply:
    """Return one act with its progress."""
    return Reply(await call.state.services.acts.get(call.caller, call.path["act_id"]))


@operation(answer=Act)
async def cancel_act(call: Call) -> Reply:
    """End an act before its next 500 jobs; what was done stays done."""
    return Reply(await call.state.services.acts.cancel(call.caller, call.path["act_id"]))
