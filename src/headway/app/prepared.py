"""A job that was made and is not enqueued yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from headway.app.options import JobOptions
    from headway.job import NewJob

R_co = TypeVar("R_co", covariant=True)


class PreparedJob(Generic[R_co]):
    """A job made but not yet enqueued: `task.job(...)`, for `app.enqueue_many` and `app.schedules.create`."""

    __slots__ = ("args", "kwargs", "new", "options", "result_type")

    def __init__(
        self,
        new: NewJob,
        result_type: Any,  # noqa: ANN401 - any type
        options: JobOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Made by `task.job`."""
        self.new = new
        self.result_type = result_type
        self.options = options  # from here on what a schedule keeps: its jobs are made at their fire times
        self.args = args
        self.kwargs = kwargs
