"""A job that was made and is not enqueued yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from headway.app.options import JobOptions
    from headway.job import NewJob

R_co = TypeVar("R_co", covariant=True)


class GivenCall(NamedTuple):
    """What a job was made from: a schedule keeps this, because its jobs are made at their fire times."""

    options: JobOptions
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class PreparedJob(Generic[R_co]):
    """A job made but not yet enqueued: `task.job(...)`, for `app.enqueue_many` and `app.schedules.create`."""

    __slots__ = ("call", "new", "result_type")

    def __init__(self, new: NewJob, result_type: Any, call: GivenCall | None = None) -> None:  # noqa: ANN401 - any type
        """Made by `task.job`."""
        self.new = new
        self.result_type = result_type
        self.call = call
