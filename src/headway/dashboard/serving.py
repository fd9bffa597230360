"""The dashboard of a server of ours, made once that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headway.dashboard.web import Dashboard

if TYPE_CHECKING:
    from headway.server.rest.state import ServerState


def pages_of(state: ServerState, *, read_only: bool = False) -> Dashboard:
    """Return the pages for a server, which is open."""
    return Dashboard(state.services, state.keyring, state.authenticator, state.live.hub, read_only=read_only)
