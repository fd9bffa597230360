"""Jobs that are HTTP calls: no Python of their own, guarded against calling what they should not.

`call(app)` declares the task, `HttpCall` is what one is enqueued with, `HttpResult` what came of it, `HttpPolicy` what
a worker allows. All of them are `headway.http.*` too.
"""

from headway.httpjobs.errors import (
    HttpFinalError,
    HttpGaveUpError,
    HttpJobError,
    HttpRefusedError,
    HttpStatusError,
    HttpUnavailableError,
)
from headway.httpjobs.policy import HostLimit, HttpPolicy
from headway.httpjobs.request import HttpCall, HttpResult, read_call
from headway.httpjobs.task import TASK, call

__all__ = [
    "TASK",
    "HostLimit",
    "HttpCall",
    "HttpFinalError",
    "HttpGaveUpError",
    "HttpJobError",
    "HttpPolicy",
    "HttpRefusedError",
    "HttpResult",
    "HttpStatusError",
    "HttpUnavailableError",
    "call",
    "read_call",
]
