"""What a worker says at its start when a carrier left the settings, or a route names one that is not there."""

from __future__ import annotations

import logging
from socket import gethostname
from typing import TYPE_CHECKING

from headway.errors import BrokerError, CodecError
from headway.routing.changing import RoutesBusyError, control_carrier, read_routes
from headway.routing.declared import Declared
from headway.routing.deployed import note_deployed
from headway.routing.roster import keep_roster, unknown_carriers
from headway.routing.written import parse_routes, parse_shadows
from headway.text import redact

if TYPE_CHECKING:
    from headway.app.app import Headway

_log = logging.getLogger("headway.routes")


async def note_carriers(app: Headway) -> None:
    """Keep which carriers the app has, and log one line if jobs may be stranded by that. Never raises of a carrier.

    The app must be open on this loop.
    """
    carriers = app.carriers
    control = control_carrier(carriers)
    if control is None:
        return
    named = app.settings.carrier_urls
    urls = {name: redact(named.get(name, one.capabilities.name)) for name, one in carriers.items()}
    try:
        gone = await keep_roster(control[1], urls, app.clock.now_ms())
        names = tuple(carriers)
        if len(names) > 1:
            routes = app.settings.routes
            declared = Declared(names, parse_routes(routes, names), parse_shadows(routes, names))
            for line in await note_deployed(control[1], declared, app.clock, f"settings@{gethostname()}"):
                _log.info("routes: the settings were changed: %s", line)
        stored = await read_routes(control[1], app.clock)
    except (BrokerError, CodecError, RoutesBusyError) as error:
        _log.warning("carriers: whether one has left the settings cannot be told: %s", error)
        return
    said = [f"{name} is not among the settings any more" for name in gone]
    for name, queues in unknown_carriers(stored.table.routes.values(), carriers).items():
        said.append(f"the routes of {', '.join(queues)} name {name}, which the settings do not have")
    if said:
        _log.warning(
            "carriers: %s; jobs that wait there are found by nobody, `headway doctor` says how many",
            "; ".join(said),
        )
