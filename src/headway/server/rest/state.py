"""What a running server consists of, as its operations see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headway.server.access.authentication import Authenticator
    from headway.server.access.keyring import Keyring
    from headway.server.access.limits import RateLimits
    from headway.server.live.live import Live
    from headway.server.rest.replays import Replays
    from headway.server.services.app_services import AppServices
    from headway.telemetry.of_app import AppMetrics


@dataclass(slots=True)
class ServerState:
    """The parts of a running server. `checks` are more of what `/readyz` asks, by name."""

    services: AppServices
    keyring: Keyring
    authenticator: Authenticator
    limits: RateLimits
    replays: Replays
    metrics: AppMetrics
    live: Live
    document: dict[str, object] = field(default_factory=dict[str, object])
    checks: dict[str, Callable[[], Awaitable[object]]] = field(
        default_factory=dict[str, "Callable[[], Awaitable[object]]"]
    )
