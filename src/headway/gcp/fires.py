"""What Cloud Scheduler sends to the receiver: which schedule is due to be looked at.

The body of a Cloud Scheduler job never changes, so it cannot name a fire time. The receiver decides which fire
times are due, by the declared schedule and what was accepted before; the call is only the wake-up. That is why
a second call gives no second job, and one by hand takes no fire time away.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from headway.brokers.cloudtasks.auth.hmac import sign_until
from headway.brokers.cloudtasks.receive import FIRE_TYPE
from headway.brokers.cloudtasks.target import HEADER_SIGNATURE

# The signature is made once and sent for years. It does not cover the time, which is in a header: who can read such a
# call can have the schedule run by hand again. Tokens, which Cloud Scheduler makes anew for each call, end that.
_FOR_EVER: Final = 253_402_300_799


class FireMessage(Struct, frozen=True):
    """Body and headers of the call."""

    body: bytes
    headers: dict[str, str]


def fire_message(namespace: str, schedule: str, secret: str = "") -> FireMessage:
    """Return the call for a schedule, signed when there is a secret."""
    body = msgspec.json.encode({"namespace": namespace, "schedule": schedule})
    headers = {"Content-Type": FIRE_TYPE}
    if secret:
        headers[HEADER_SIGNATURE] = sign_until(secret.encode(), body, _FOR_EVER)
    return FireMessage(body, headers)
