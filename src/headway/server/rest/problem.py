"""Errors as RFC 9457 has them: `application/problem+json` with a type, a title, the status and what happened."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from headway.errors import (
    ArgumentsError,
    BrokerRefusedError,
    BrokerUnavailableError,
    CodecError,
    ConfigError,
    DeclarationError,
    EnqueueError,
    HeadwayError,
    JobNotFoundError,
    PartlyAcceptedError,
    PayloadMissingError,
    PayloadTooLargeError,
    RecordsUnavailableError,
    ScheduleConflictError,
    ScheduleNotFoundError,
    SerialisationError,
    UnknownTaskError,
    UnsupportedError,
)
from headway.routing.changing import RoutesBusyError
from headway.server.access.authentication import TooManyWrongKeysError, UnauthorizedError
from headway.server.services.problems import (
    CannotError,
    ConflictError,
    InvalidError,
    MalformedError,
    NotFoundError,
    OutOfScopeError,
)
from headway.server.store.database import StoreError

TYPE_PREFIX: Final = "urn:headway:problem:"
MEDIA_TYPE: Final = "application/problem+json"


class Problem(Struct, frozen=True, omit_defaults=True):
    """What went wrong. `type` is a word for programs behind `urn:headway:problem:`, `detail` says it to people."""

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""


class ProblemError(HeadwayError):
    """A request that is answered with a problem, where no other error says it."""

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.headers = headers or {}


class _Meaning(Struct, frozen=True):
    status: int
    kind: str
    headers: tuple[tuple[str, str], ...] = ()


_SOON: Final = (("retry-after", "2"),)
# The first class that an error is an instance of counts.
_MEANINGS: Final[tuple[tuple[type[Exception], _Meaning], ...]] = (
    (UnauthorizedError, _Meaning(401, "unauthorized", (("www-authenticate", 'Bearer realm="headway"'),))),
    (TooManyWrongKeysError, _Meaning(429, "too-many-wrong-keys", (("retry-after", "60"),))),
    (OutOfScopeError, _Meaning(403, "out-of-scope")),
    (NotFoundError, _Meaning(404, "not-found")),
    (JobNotFoundError, _Meaning(404, "not-found")),
    (ConflictError, _Meaning(409, "conflict")),
    (ScheduleConflictError, _Meaning(409, "conflict")),
    (ScheduleNotFoundError, _Meaning(404, "not-found")),
    (MalformedError, _Meaning(400, "malformed")),
    (InvalidError, _Meaning(422, "invalid")),
    (CannotError, _Meaning(409, "carrier-cannot")),
    (RoutesBusyError, _Meaning(409, "routes-busy", _SOON)),
    (UnknownTaskError, _Meaning(422, "unknown-task")),
    (ArgumentsError, _Meaning(422, "arguments")),
    (SerialisationError, _Meaning(422, "arguments")),
    (PayloadTooLargeError, _Meaning(413, "payload-too-large")),
    (UnsupportedError, _Meaning(422, "unsupported")),
    (EnqueueError, _Meaning(422, "refused")),
    (BrokerUnavailableError, _Meaning(503, "carrier-unavailable", _SOON)),
    (PartlyAcceptedError, _Meaning(503, "partly-accepted", _SOON)),
    (BrokerRefusedError, _Meaning(503, "carrier-refused", (("retry-after", "30"),))),
    (RecordsUnavailableError, _Meaning(503, "records-unavailable", _SOON)),
    (StoreError, _Meaning(503, "access-database", _SOON)),
    (PayloadMissingError, _Meaning(409, "payload-missing")),
    (CodecError, _Meaning(409, "damaged")),
    (ConfigError, _Meaning(422, "invalid")),
    (DeclarationError, _Meaning(422, "invalid")),
)
TITLES: Final = {
    400: "The request has not the form that it must have",
    401: "A key is needed",
    403: "This is not allowed with this key",
    404: "It is not there",
    405: "There is no such method here",
    409: "It is not in a state in which this can be done",
    413: "It is too large",
    415: "The body must be JSON",
    421: "This server is not for that host",
    422: "The request is understood and cannot be meant",
    429: "Too many requests",
    500: "A defect of the server",
    503: "Something that the server depends on does not answer",
}
STATUSES: Final = tuple(TITLES)
"""The statuses of all problems."""


def problem_of(error: Exception) -> tuple[Problem, dict[str, str]] | None:
    """Return the problem that an error is, with its headers; None for a defect."""
    if isinstance(error, ProblemError):
        return problem(error.status, error.kind, str(error)), error.headers
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            return problem(meaning.status, meaning.kind, str(error)), dict(meaning.headers)
    return None


def problem(status: int, kind: str, detail: str) -> Problem:
    """Return a problem."""
    return Problem(f"{TYPE_PREFIX}{kind}", TITLES.get(status, "The request failed"), status, _sound(detail))


def _sound(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()[:4000]
