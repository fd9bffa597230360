"""The server itself by HTTP: whether it lives, whether it is ready, what it offers."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from headway.server.access.caller import Role
from headway.server.rest.operation import Call, Reply, operation
from headway.server.services.health import Health, readiness
from headway.server.services.shared import check_everything

METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"


class Alive(Struct, frozen=True):
    """It lives."""

    ok: bool = True


class Me(Struct, frozen=True):
    """Who a key is."""

    who: str
    role: Role
    queues: tuple[str, ...]
    tasks: tuple[str, ...]
    app: str


@operation(answer=Alive)
async def healthz(call: Call) -> Reply:
    """Tell that the server lives; asks nobody."""
    del call
    return Reply(Alive())


@operation(answer=Health)
async def readyz(call: Call) -> Reply:
    """Tell whether each thing that the server depends on answers; 503 when one does not."""
    health = await readiness(call.state.services.shared, call.state.checks)
    return Reply(health, status=200 if health.ok else 503)


@operation(answer=str, media_type=METRICS)
async def metrics(call: Call) -> Reply:
    """Return the metrics of the app, for Prometheus."""
    check_everything(call.caller, "metrics")
    return Reply(await call.state.metrics.text(), media_type=METRICS)


@operation(answer=Me)
async def whoami(call: Call) -> Reply:
    """Tell who a key is, and what it may do."""
    caller = call.caller
    return Reply(
        Me(caller.who, caller.role, caller.scope.queues, caller.scope.tasks, call.state.services.app.name)
    )


@operation(answer=dict[str, Any])
async def openapi(call: Call) -> Reply:
    """Return the OpenAPI document of this API."""
    return Reply(call.state.document)
