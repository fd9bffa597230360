"""How an HTTP job ends when it has no good answer. Those that are final put the job aside at once."""

from __future__ import annotations

from headway.errors import HeadwayError


class HttpJobError(HeadwayError):
    """Base of what follows; the message never holds a secret."""


class HttpFinalError(HttpJobError):
    """Another attempt would end the same way."""


class HttpRefusedError(HttpFinalError):
    """The call may not be made: its address, a redirect, a secret, or what else the policy of the worker forbids."""


class HttpStatusError(HttpFinalError):
    """The target answered with a status that is neither good nor one to try again."""


class HttpGaveUpError(HttpFinalError):
    """The last attempt that the call gives has failed, or the call says that errors are not tried again."""


class HttpUnavailableError(HttpJobError):
    """No whole answer, or one with a status to try again: the task's retry policy decides when."""
