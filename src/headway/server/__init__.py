"""Headway as a service: the REST API, live events, API keys and the audit log.

`headway server APP` runs it. `Server(app)` is the same as an ASGI application, for servers of others.
"""

from __future__ import annotations

from headway.server.running import Server, ServerOptions

__all__ = ["Server", "ServerOptions"]
