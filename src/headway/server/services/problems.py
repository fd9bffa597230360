"""What goes wrong in a service, by what the caller can do about it."""

from __future__ import annotations

from headway.errors import HeadwayError


class ServiceError(HeadwayError):
    """A call that was refused; nothing was changed."""


class NotFoundError(ServiceError, LookupError):
    """What was named is not there, or not within the caller's scope."""


class OutOfScopeError(ServiceError):
    """The key may not do this: it is bound to queues or tasks."""


class ConflictError(ServiceError):
    """It is there, and in a state in which this cannot be done."""


class MalformedError(ServiceError, ValueError):
    """What was given has not the form that it must have; such as a cursor of another list."""


class InvalidError(ServiceError, ValueError):
    """What was given has the right form and cannot be meant."""


class CannotError(ServiceError):
    """No carrier of this app can do this, or none that has the job."""
