"""HTTP/1.1 as several rooms need it: the least of a client, and servers of ours with uvicorn.

For applications it has the names of `headway.httpjobs`, jobs that are HTTP calls: `from headway.http import call,
HttpCall, HttpPolicy`. They are loaded when they are named.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headway.httpjobs import HostLimit, HttpCall, HttpPolicy, HttpResult, call

__all__ = ["HostLimit", "HttpCall", "HttpPolicy", "HttpResult", "call"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names above
    """Load what applications name."""
    if name in __all__:
        return getattr(import_module("headway.httpjobs"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
