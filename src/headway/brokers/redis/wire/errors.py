"""What Redis answers when it does not do as asked, told apart and put into words."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from headway.errors import BrokerRefusedError, BrokerUnavailableError

_CODES: Final = frozenset(
    {
        *("ERR", "OOM", "WRONGPASS", "NOAUTH", "NOPERM", "EXECABORT", "NOSCRIPT", "LOADING", "READONLY"),
        *("MASTERDOWN", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT"),
    }
)
_OF_LOGIN: Final = ("invalid password", "AUTH <password> called without any password")
_PASSING: Final = ("ERR max number of clients reached", "ERR problem with LDAP service")


class WireError(Exception):
    """There is no connection, or it ended: what was sent may have been applied."""


class ProtocolError(WireError):
    """What came is no reply of a Redis."""


class ErrorReply(WireError):  # noqa: N818 - an answer
    """The server answered with an error; the connection is sound. `code` is its first word."""

    def __init__(self, text: str) -> None:
        """A code that everybody knows is left out of the message."""
        self.code, _, rest = text.partition(" ")
        super().__init__(rest if rest and self.code in _CODES else text)

    @property
    def is_of_login(self) -> bool:
        """Whether user or password are wrong or missing: no other server would take them."""
        return self.code in {"WRONGPASS", "NOAUTH"} or str(self).startswith(_OF_LOGIN)


def error_of(text: str) -> WireError:
    """Return what an error reply means; one that says no more than "later" is like no connection."""
    return WireError(text.removeprefix("ERR ")) if text in _PASSING else ErrorReply(text)


_ADVICE: Final = {
    "OOM": "it is out of memory: raise maxmemory, prune, or add workers",
    "READONLY": "it is a read-only replica: give the address of the primary, or use redis+sentinel://",
    "MISCONF": "it cannot save its data and stopped writes: look at its disk and its log",
    "NOREPLICAS": "too few replicas are connected (min-replicas-to-write)",
    "NOAUTH": "it wants a password: put it into the URL",
    "WRONGPASS": "it does not accept the user or the password of the URL",
    "WRONGTYPE": "a key of the app holds something else: did another program write to it? `headway doctor` names it",
    "NOPERM": "the user of the URL lacks a permission (scripts, the keys hw:*, or its channels)",
}
_WAITING: Final = {
    "BUSY": "it is busy with a script that takes too long: `redis-cli SCRIPT KILL` ends one that has written nothing",
    "LOADING": "it is loading its data after a start: wait, `redis-cli INFO persistence` tells how far it is",
    "MASTERDOWN": "it is a replica that has lost its primary: look at the primary, or use redis+sentinel://",
    "CLUSTERDOWN": "the Cluster does not serve all slots: look at `redis-cli CLUSTER INFO`",
    "TRYAGAIN": "the app's slot is moving to another node of the Cluster: wait, or look whether the move goes on",
}
# Redis 6.2 wraps an error within a script into text of its own: the code stands somewhere inside.
_CODE: Final = re.compile(r"\b(" + "|".join(_ADVICE) + r")\b")

_KEY: Final = re.compile(r"WRONGTYPE of key (.+?): it holds no ([a-z ]+?)(?: script:|$)")

_SCRIPT_END: Final = re.compile(r" script: .*$", re.DOTALL)
_SHOWN: Final = 40  # characters around what is wrong


class Answer(Enum):
    """What an error means for the call."""

    REFUSED = auto()
    WAIT = auto()  # the same server will answer soon
    ELSEWHERE = auto()  # another server has the data now
    UNKNOWN_SCRIPT = auto()


def classify(error: Exception) -> Answer:
    """Tell what to do about an error reply."""
    match _code_of(error):
        case "NOSCRIPT":
            return Answer.UNKNOWN_SCRIPT
        case "MOVED" | "READONLY":
            return Answer.ELSEWHERE
        case "ASK" | "TRYAGAIN" | "LOADING" | "BUSY" | "CLUSTERDOWN" | "MASTERDOWN":
            # ASK: the slot is on its way; the script must not run on half of the app's data.
            return Answer.WAIT
        case _:
            return Answer.ELSEWHERE if "READONLY" in str(error) else Answer.REFUSED


def unavailable(where: str, problem: Exception | str) -> BrokerUnavailableError:
    """Word that no call was answered in time: nobody answers, or a server that can do nothing now."""
    text = str(problem)
    code = ""
    if isinstance(problem, Exception):
        code = _code_of(problem)
        code = "TRYAGAIN" if code == "ASK" else code
        text = text or type(problem).__name__
    if code in _WAITING:
        return BrokerUnavailableError(f"{where} answers, but does nothing for now: {_WAITING[code]}")
    reason = text or "no answer in time"
    return BrokerUnavailableError(
        f"{where} cannot be reached ({reason}): is it running, and is the URL right?"
    )


def refused(where: str, error: Exception) -> BrokerRefusedError:
    """Word a refusal: which server, what it said, what to do."""
    code = _code(error)
    advice = _ADVICE.get(code) if code else None
    if key := _KEY.search(str(error)):
        advice = (
            f"its key {key[1]} holds no {key[2]}: did another program write to it? "
            "Put it right, or delete it; nothing was changed"
        )
    if code == "NOPERM":
        advice = f"{advice}: {_SCRIPT_END.sub('', str(error))}"
    text = f"{where} refused the call: {advice or error}"
    return BrokerRefusedError(text)


def unwritable(where: str, error: Exception) -> BrokerRefusedError:
    """Word the refusal of a call that cannot be put on the wire."""
    reason = str(error)
    if isinstance(error, UnicodeEncodeError):
        value = error.object[max(0, error.start - _SHOWN) : error.start + _SHOWN]
        reason = f"{value!r} holds a character that has no encoding (a lone surrogate); remove or escape it"
    return BrokerRefusedError(f"{where}: the call was not sent: {reason}")


def _code(error: Exception) -> str | None:
    """Return the code that there is advice for."""
    code = _code_of(error)
    if code in {"OOM", "READONLY", "NOPERM"}:
        return code
    if isinstance(error, ErrorReply) and error.is_of_login:
        return code if code in _ADVICE else "WRONGPASS"
    found = _CODE.search(f"{code} {error}")
    return found.group(1) if found else None


def _code_of(error: Exception) -> str:
    return error.code if isinstance(error, ErrorReply) else ""
