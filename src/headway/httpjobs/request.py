"""What an HTTP job is asked to do, and what came of it: plain data, checked when it is made and when it is read."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from headway.errors import ArgumentsError
from headway.httpjobs.secrets import REFERENCE, names_in
from headway.httpjobs.target import read_target

LONGEST: Final = 3600.0  # seconds of one attempt
DEFAULT_TIMEOUT: Final = 90.0
DEFAULT_KEEP: Final = 64 * 1024
MOST_KEPT: Final = 1024 * 1024
RETRY_STATUSES: Final = (408, 425, 429, 500, 502, 503, 504)
_SHORTEST: Final = 0.1
_MOST_HEADERS: Final = 64
_MOST_REDIRECTS: Final = 10
_MOST_ATTEMPTS: Final = 1000
_STATUSES: Final = range(100, 600)
_GOOD: Final = range(200, 300)
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,19}")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")
_TUNNELS: Final = frozenset({"CONNECT", "TRACE"})
_OURS: Final = frozenset(
    (  # they say where a request ends and goes
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_SECRET: Final = frozenset({"authorization", "cookie", "proxy-authorization"})


class HttpCall(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A request. ValueError names what is wrong with it.

    One body at most: `body` is a text, `data` are bytes (Base64 in JSON), `json` any value. Header values may refer to
    secrets, such as `Bearer secret://CRM`; `Authorization` and `Cookie` must. `timeout` bounds one attempt, in seconds.
    A status in `expect` (empty: 200 to 299) is good, one in `retry_statuses` is tried again, as connections that fail
    and answers that do not come are with `retry_errors`; any other status fails the job. `attempts`: in all; None:
    what the task's policy gives. `keep`: bytes of the response that are kept. `redirects` that are followed, at most.
    `sign`: references to secrets, for a signature by Standard Webhooks. `idempotency_header` names the header that
    carries the job's idempotency key; empty: none.
    """

    method: str
    url: str
    headers: dict[str, str] = {}
    body: str | None = None
    data: bytes | None = None
    json: Any = None
    timeout: float = DEFAULT_TIMEOUT
    expect: tuple[int, ...] = ()
    retry_statuses: tuple[int, ...] = RETRY_STATUSES
    retry_errors: bool = True
    attempts: int | None = None
    keep: int = DEFAULT_KEEP
    redirects: int = 5
    sign: tuple[str, ...] = ()
    idempotency_header: str = "Idempotency-Key"

    def __post_init__(self) -> None:
        """Check all of it: it comes from outside."""
        if not _METHOD.fullmatch(self.method) or self.method in _TUNNELS:
            what = "a word in capitals, such as POST, and neither CONNECT nor TRACE"
            msg = f"method must be {what}; got {self.method[:20]!r}"
            raise ValueError(msg)
        read_target(self.url)
        _check_headers(self.headers)
        if sum(one is not None for one in (self.body, self.data, self.json)) > 1:
            msg = "give one of body (a text), data (bytes) and json"
            raise ValueError(msg)
        _check_between("timeout", self.timeout, _SHORTEST, LONGEST, "seconds")
        for name in ("expect", "retry_statuses"):
            if wrong := [status for status in getattr(self, name) if status not in _STATUSES]:
                msg = f"{name}: {wrong[0]} is no status"
                raise ValueError(msg)
        if both := {*self.expect} & {*self.retry_statuses}:
            msg = f"status {min(both)} cannot be both expected and tried again"
            raise ValueError(msg)
        if self.attempts is not None:
            _check_between("attempts", self.attempts, 1, _MOST_ATTEMPTS, "")
        _check_between("keep", self.keep, 0, MOST_KEPT, "bytes")
        _check_between("redirects", self.redirects, 0, _MOST_REDIRECTS, "")
        if any(not REFERENCE.fullmatch(one) for one in self.sign):
            msg = "sign: must name secrets by reference, such as secret://HOOKS"
            raise ValueError(msg)
        if self.idempotency_header:
            _check_header(self.idempotency_header, "")

    def good(self, status: int) -> bool:
        """Tell whether the status is one that was hoped for."""
        return status in self.expect if self.expect else status in _GOOD

    def content(self) -> tuple[bytes | None, str]:
        """Return the body and its type; None: there is none."""
        if self.body is not None:
            return self.body.encode(), "text/plain; charset=utf-8"
        if self.data is not None:
            return self.data, "application/octet-stream"
        if self.json is not None:
            return msgspec.json.encode(self.json), "application/json"
        return None, ""

    @property
    def secrets(self) -> list[str]:
        """The names of all secrets that it refers to."""
        texts = (*self.headers.values(), *self.sign)
        return list(dict.fromkeys(name for text in texts for name in names_in(text)))


class HttpResult(Struct, frozen=True, kw_only=True):
    """The answer to a call, as far as it is kept.

    `body` is a text, or Base64 where `base64` is true, because the bytes are no UTF-8. `truncated`: there was more.
    `url` is that of the last redirect. Names of headers are in lower case; `set-cookie` is not kept.
    """

    status: int
    headers: dict[str, str] = {}
    body: str = ""
    base64: bool = False
    truncated: bool = False
    url: str = ""
    redirects: int = 0
    seconds: float = 0.0


def read_call(body: bytes) -> HttpCall:
    """Read a call from JSON as people write it: fields that do not exist are refused.

    ArgumentsError says what is wrong. For `POST /v1/http-jobs` and its like.
    """
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if unknown := sorted(set(fields) - {*HttpCall.__struct_fields__}):
            msg = f"no such field: {', '.join(unknown)}; there are {', '.join(HttpCall.__struct_fields__)}"
            raise ArgumentsError(msg)
        return msgspec.json.decode(body, type=HttpCall)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ArgumentsError(str(error)) from error


def _check_headers(headers: dict[str, str]) -> None:
    if len(headers) > _MOST_HEADERS:
        msg = f"headers: at most {_MOST_HEADERS}, got {len(headers)}"
        raise ValueError(msg)
    if len({name.lower() for name in headers}) < len(headers):
        msg = "headers: one is given twice"
        raise ValueError(msg)
    for name, value in headers.items():
        _check_header(name, value)


def _check_header(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name):
        msg = f"headers: {name[:100]!r} is no name of a header"
        raise ValueError(msg)
    if name.lower() in _OURS:
        msg = f"headers: {name} is not yours to set: it says where the request goes, or where it ends"
        raise ValueError(msg)
    if not _VALUE.fullmatch(value) or value != value.strip():
        msg = f"headers: the value of {name} has a line break or another character that headers cannot have"
        raise ValueError(msg)
    if value and name.lower() in _SECRET and not names_in(value):
        msg = f"headers: {name} is a secret, and arguments are stored and shown: write a reference, such as secret://CRM"
        raise ValueError(msg)


def _check_between(name: str, value: float, least: float, most: float, unit: str) -> None:
    if not least <= value <= most:  # also of what is no number at all
        msg = f"{name} must be {least:g} to {most:g} {unit}".rstrip() + f", got {value!r}"
        raise ValueError(msg)
