"""Tools for the tests of applications that use Headway; `docs/how-to/test-your-tasks.md` shows them at work.

Names are loaded when they are first used, so that the pytest plugin beside them costs nothing where it is not used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headway.testing.blocking import InlineSync, inline_sync
    from headway.testing.clock import FakeClock
    from headway.testing.context import FakeContext
    from headway.testing.faults import FaultyBroker, RandomFaults
    from headway.testing.inlined import Inline, InlineCarrier
    from headway.testing.inlining import inline
    from headway.testing.seen import SeenJob
    from headway.testing.waiting import wait_for
    from headway.testing.wrapper import CarrierWrapper

__all__ = [
    "CarrierWrapper",
    "FakeClock",
    "FakeContext",
    "FaultyBroker",
    "Inline",
    "InlineCarrier",
    "InlineSync",
    "RandomFaults",
    "SeenJob",
    "inline",
    "inline_sync",
    "wait_for",
]

_HOMES: Final = {
    "CarrierWrapper": "wrapper",
    "FakeClock": "clock",
    "FakeContext": "context",
    "FaultyBroker": "faults",
    "Inline": "inlined",
    "InlineCarrier": "inlined",
    "InlineSync": "blocking",
    "RandomFaults": "faults",
    "SeenJob": "seen",
    "inline": "inlining",
    "inline_sync": "blocking",
    "wait_for": "waiting",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names above
    """Load a name from its module."""
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    # Kept: later uses need no look-up.
    found = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return found
