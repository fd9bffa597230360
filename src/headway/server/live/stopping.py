"""Whether the server that this process runs in was told to stop, as far as an application can see it.

A server such as uvicorn waits for answers that are under way before it ends the lifespan, so an endless stream of ours
would keep it for ever: the application hears of the end when it is too late. It keeps its signal handlers as methods of
the object that has the flag. Reading that flag changes nothing for anybody; installing a handler of our own would.
"""

from __future__ import annotations

import signal
from typing import Final

EVERY: Final = 0.5
"""Seconds from one look to the next."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def host_stops() -> bool:
    """Tell whether whoever handles SIGTERM or SIGINT here has its flag `should_exit` set, as uvicorn does."""
    owners = (getattr(signal.getsignal(number), "__self__", None) for number in _SIGNALS)
    return any(getattr(owner, "should_exit", False) is True for owner in owners)
