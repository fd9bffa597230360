"""A job that was made and is not enqueued yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from headway.job import NewJob

R_co = TypeVar("R_co", covariant=True)


class PreparedJob(Generic[R_co]):
    """A job made but not yet enqueued: `task.job(...)`, for `app.enqueue_many`."""

    __slots__ = ("new", "result_type")

    def __init__(self, new: NewJob, result_type: Any) -> None:  # noqa: ANN401 - any type
        """Made by `task.job`."""
        self.new = new
        self.result_type = result_type
