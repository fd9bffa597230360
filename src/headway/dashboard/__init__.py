"""What people look at: pages around the server's services, rendered at the server, readable without script.

`headway server` and `headway dev` serve them; `mount` puts them into an application of one's own.
"""

from __future__ import annotations

from headway.dashboard.mounting import mount

__all__ = ["mount"]
