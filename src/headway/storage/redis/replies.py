"""What a Redis answers when it does not do as asked, told apart by its code and put into words."""

from __future__ import annotations

import re
from typing import Final

from headway.errors import BrokerRefusedError
from headway.storage.patience import Unanswered

_ADVICE: Final = {
    "OOM": "it is out of memory: raise its limit, or prune",
    "READONLY": "it is a read-only replica: give the address of the primary",
    "MISCONF": "it cannot save its data and stopped writes: look at its disk and its log",
    "NOREPLICAS": "too few replicas are connected (min-replicas-to-write)",
    "NOAUTH": "it wants a password: put it into the URL",
    "WRONGPASS": "it does not accept the user, password or token of the URL",
    "NOPERM": "the user of the URL lacks a permission (scripts, or the keys hw:*)",
    "MOVED": "it is one node of a Cluster: give the URL of a single server or of an endpoint in front of the Cluster",
}
_LATER: Final = ("LOADING", "BUSY ", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "ASK ")
# Redis 6.2 wraps an error within a script into text of its own: the code stands somewhere inside.
_CODE: Final = re.compile(r"\b(" + "|".join(_ADVICE) + r")\b")
_ECHO: Final = re.compile(r",? ?command was:.*", re.DOTALL)


class ServerRefusesError(BrokerRefusedError):
    """The server says no to whatever is asked: it is full, or does not accept us. No single value is at fault."""


class UnknownScriptError(Exception):
    """The server does not know the script: send its source."""


def explain(name: str, text: str) -> Exception:
    """Return what to raise for an error reply."""
    if text.startswith("NOSCRIPT"):
        return UnknownScriptError(text)
    if text.startswith(_LATER):
        return Unanswered(text)
    plain = _ECHO.sub("", text)  # a service repeats the command, and with it what is stored
    if plain.startswith(("Unauthorized", "WRONGPASS")):
        plain = "WRONGPASS"
    found = _CODE.search(plain)
    if found:
        return ServerRefusesError(f"{name} refused the call: {_ADVICE[found[1]]}")
    return BrokerRefusedError(f"{name} refused the call: {plain}")
