"""What is done to many jobs: in several transactions, so that other processes can write in between."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from headway.brokers.sqlite import manage
from headway.errors import BrokerUnavailableError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from headway.brokers.sqlite.file.transaction import Transaction
    from headway.job import JobId, JobState

T = TypeVar("T")

_TRIES: Final = 5  # each waits as long as ?timeout= says


class Write(Protocol):
    """Does something in the next transaction."""

    def __call__(self, operation: Callable[[Transaction], T], /) -> Awaitable[T]:
        """Return its answer."""
        ...


async def in_steps(write: Write, ids: Sequence[JobId], act: Callable[..., list[T]]) -> list[T]:
    """Change many jobs.

    Once some are done, the rest is tried again while the file is busy: an error would make the caller repeat the call,
    and its answer would say of the first ones that nothing was to be done.
    """
    answers: list[T] = []
    tries = 0
    while len(answers) < len(ids):
        some = ids[len(answers) : len(answers) + manage.IDS_STEP]
        try:
            answers += await write(partial(act, ids=some))
        except BrokerUnavailableError:
            tries += 1
            if not answers or tries > _TRIES:
                raise
    return answers


async def drain(write: Write, queue: str) -> int:
    """Remove the jobs that wait in the queue now; return how many."""
    until = await write(manage.last_seq)
    total = 0
    while removed := await write(lambda tx: manage.drain(tx, queue, until)):
        total += removed
    return total


async def clean(write: Write, state: JobState, older_than_ms: int, queue: str | None, limit: int) -> int:
    """Remove completed jobs; return how many. ConfigError when the state is not terminal."""
    if not state.terminal:
        msg = f"clean: {state.value} is not a terminal state; use drain for jobs that wait"
        raise ConfigError(msg)
    total = 0
    while total < limit:
        step = min(manage.STEP, limit - total)
        removed = await write(
            partial(manage.clean, state=state, older_than_ms=older_than_ms, queue=queue, limit=step)
        )
        total += removed
        if removed < step:
            break
    return total
