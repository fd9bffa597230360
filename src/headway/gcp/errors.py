"""What the APIs answer, in words that say what to do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError

from headway.errors import HeadwayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

ONCE: Final[dict[str, Any]] = {"retry": None, "timeout": 20.0}
"""What each call is made with: it is `ask` that repeats it, not the client."""

_PAUSES_S: Final = (0.1, 0.5, 2.0)
_TRANSIENT: Final = (
    exceptions.ServiceUnavailable,
    exceptions.DeadlineExceeded,
    exceptions.InternalServerError,
    exceptions.TooManyRequests,
)


class CloudError(HeadwayError):
    """Google Cloud refused a call or could not be reached; the message says which, and what to do."""


class AlreadyThereError(CloudError):
    """A resource of that name exists."""


class NotThereError(CloudError):
    """There is no such resource."""


async def ask(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """Make a call, again when it was lost; `what` is done by it, for the message of CloudError."""
    for pause in (*_PAUSES_S, None):
        try:
            return await call()
        except _TRANSIENT as error:
            if pause is None:
                raise _explained(what, error) from error
            await asyncio.sleep(pause)
        except (exceptions.GoogleAPIError, GoogleAuthError, TimeoutError) as error:
            raise _explained(what, error) from error
    raise AssertionError(what)  # the last turn returns or raises


def _explained(what: str, error: Exception) -> CloudError:  # noqa: PLR0911 - one for each kind
    message = getattr(error, "message", "") or str(error)
    match error:
        case exceptions.AlreadyExists():
            return AlreadyThereError(f"{what}: {message}")
        case exceptions.NotFound():
            return NotThereError(f"{what}: {message}")
        case exceptions.PermissionDenied() if (
            "SERVICE_DISABLED" in str(error) or "has not been used" in message
        ):
            return CloudError(f"{what}: {message} Enable the API with `gcloud services enable`.")
        case exceptions.PermissionDenied() | exceptions.Unauthenticated():
            return CloudError(
                f"{what}: the right is missing: {message}; ask for it, or give other credentials"
            )
        case GoogleAuthError():
            return CloudError(f"{what}: {message}; run `gcloud auth application-default login`")
        case TimeoutError():
            return CloudError(
                f"{what}: it goes on, but has not ended in time; look with `headway gcp status`"
            )
        case _ if isinstance(error, _TRANSIENT):
            return CloudError(f"{what}: it does not answer: {message}; try again later")
        case _:
            return CloudError(f"{what}: {message}")
