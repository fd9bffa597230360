"""The task whose jobs are HTTP calls: declared in an app by one line, under a name that others enqueue by."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from headway.app.context import Context  # noqa: TC001 - the task reads its annotations
from headway.errors import ConfigError
from headway.httpjobs.errors import HttpFinalError, HttpRefusedError, HttpUnavailableError
from headway.httpjobs.guard import Guard
from headway.httpjobs.pacing import Pacing
from headway.httpjobs.policy import HttpPolicy
from headway.httpjobs.request import LONGEST, HttpCall, HttpResult
from headway.httpjobs.retrying import failed, judged
from headway.httpjobs.secrets import Secrets, names_in
from headway.httpjobs.signing import signed
from headway.httpjobs.target import read_target
from headway.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headway.app.app import Headway
    from headway.app.task import AsyncTask
    from headway.httpjobs.guard import Resolve
    from headway.httpjobs.sending import Sender

TASK: Final = "headway.http.call"
"""The name of the task: jobs of it are HTTP calls in every app that declares it."""
_MARGIN: Final = 60.0  # seconds beside the call itself: to wait for a place, to resolve, to close


def call(
    app: Headway,
    *,
    queue: str = "http",
    policy: HttpPolicy | None = None,
    retry: Retry | None = None,
    resolver: Resolve | None = None,
) -> AsyncTask[[HttpCall], HttpResult]:
    """Declare the task `headway.http.call` in an app, once, and return it.

    Its workers make the calls within `policy`. `retry` is about answers and errors that are tried again, when the
    target does not say itself how long to wait; by default that of any task. What is final is given up in any case.
    ConfigError when the extra is not installed. `resolver` is for tests.
    """
    rules = policy or HttpPolicy()
    sender = _sender(rules, Guard(rules, resolver))
    pacing, secrets = Pacing(rules), Secrets(rules.secrets_folder)
    base = retry or Retry()

    @app.task(
        name=TASK,
        queue=queue,
        timeout=LONGEST + _MARGIN,
        retry=Retry(
            max_attempts=base.max_attempts,
            initial=base.initial,
            factor=base.factor,
            maximum=base.maximum,
            jitter=base.jitter,
            retry_on=base.retry_on,
            give_up_on=(HttpFinalError, *base.give_up_on),
            delays=base.delays,
            rules=base.rules,
        ),
        tags=["http"],
    )
    async def http_call(ctx: Context, request: HttpCall) -> HttpResult:
        """Make one attempt of the call."""
        values = {name: secrets.value(name) for name in request.secrets}
        extra = _headers(ctx, request, rules, values)
        async with pacing.place(read_target(request.url).host, ctx.app):
            try:
                answer = await sender.send(request, extra, values)
            except HttpUnavailableError as error:
                raise failed(request, error, ctx.attempt) from None
        return judged(request, answer, ctx.attempt, rules.retry_after)

    return http_call


def _sender(policy: HttpPolicy, guard: Guard) -> Sender:
    try:
        from headway.httpjobs.sending import Sender  # noqa: PLC0415 - its client is an extra
    except ImportError as error:
        msg = "HTTP jobs need a package more: pip install 'headway[client]'"
        raise ConfigError(msg) from error
    return Sender(policy, guard)


def _headers(
    ctx: Context, request: HttpCall, policy: HttpPolicy, values: Mapping[str, str]
) -> dict[str, str]:
    """Return the headers of ours: of an attempt, the idempotency key is that of its job."""
    headers = {"User-Agent": policy.user_agent}
    if request.idempotency_header:
        headers[request.idempotency_header] = ctx.idempotency_key
    if request.sign:
        content, _ = request.content()
        keys = [values[name] for one in request.sign for name in names_in(one)]
        try:
            headers |= signed(ctx.idempotency_key, int(time.time()), content or b"", keys)
        except ValueError as error:
            raise HttpRefusedError(str(error)) from None
    return headers
