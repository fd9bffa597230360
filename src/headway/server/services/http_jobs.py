"""HTTP jobs: made of a method, a URL and what else a request has."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from headway.httpjobs import TASK, HttpCall
from headway.httpjobs.request import DEFAULT_KEEP, DEFAULT_TIMEOUT, RETRY_STATUSES
from headway.server.services.creating import Created, CreateJob, Options
from headway.server.services.problems import CannotError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.server.access.caller import Caller
    from headway.server.services.creating import Creating
    from headway.server.services.shared import Shared


HTTP_TASK: Final = TASK
"""The name of the task whose jobs are HTTP calls."""


class NewHttpJob(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request that a worker is to make; as `headway.http.HttpCall`, with the options of its job.

    One body at most: `body` is a text, `data` are bytes in Base64, `json` any value. Header values may refer to secrets
    of the worker, such as `Bearer secret://CRM`. `timeout` is in seconds.
    """

    method: str
    url: str
    headers: dict[str, str] = {}
    body: str | None = None
    data: Annotated[str, Meta(pattern="^[A-Za-z0-9+/]*={0,2}$")] | None = None
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
    options: Options | None = None


class HttpJobs:
    """Makes HTTP jobs."""

    def __init__(self, shared: Shared, creating: Creating) -> None:
        self._shared = shared
        self._creating = creating

    async def create(self, caller: Caller, wish: NewHttpJob, *, key: str | None = None) -> Created:
        """Make one. CannotError where the app declares none; InvalidError names what is wrong with the request."""
        return await self._creating.create(caller, self.job(wish), key=key)

    def job(self, wish: NewHttpJob) -> CreateJob:
        """Return the job that is to be made, now or by a schedule. The errors are `create`'s."""
        if TASK not in self._shared.app.known_tasks:
            msg = "this app has no HTTP jobs: headway.http.call(app) beside its tasks declares them"
            raise CannotError(msg)
        fields = {name: getattr(wish, name) for name in HttpCall.__struct_fields__}
        try:
            fields["data"] = None if wish.data is None else b64decode(wish.data, validate=True)
            call = msgspec.json.encode(HttpCall(**fields))
        except ValueError as error:
            raise InvalidError(str(error)) from error
        return CreateJob(TASK, args=[Raw(call)], options=wish.options)


def check_parts(parts: Mapping[str, Any]) -> None:
    """Check some parts of a request by themselves; ValueError names what is wrong with one of them."""
    fields: dict[str, Any] = {"method": "GET", "url": "https://example.com/", **parts}
    HttpCall(**fields)
