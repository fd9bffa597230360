"""The receiver of pushed jobs: an ASGI application around the executor that the workers use.

`docs/explanation/push.md` says what it answers and why.
"""

from __future__ import annotations

from headway.push.receiver import Receiver, receiver

__all__ = ["Receiver", "receiver"]
