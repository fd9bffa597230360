"""Many jobs in one call, of which one cannot be made, is refused, or meets a carrier that fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headway import Headway, Unique
from headway.brokers.base import JobQuery
from headway.errors import ArgumentsError, BrokerRefusedError, PartlyAcceptedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path
    from typing import Any

    from headway.app.prepared import PreparedJob


@pytest.fixture
def app(tmp_path: Path) -> Headway:
    app = Headway("shop", url=f"sqlite:///{tmp_path / 'headway.db'}")

    @app.task(name="pay")
    async def pay(order: int) -> None: ...

    return app


@pytest.fixture
async def opened(app: Headway) -> AsyncIterator[Headway]:
    async with app:
        yield app


def _with_a_bad_one(app: Headway, at: int) -> Iterator[PreparedJob[Any]]:
    for number in range(at + 10):
        yield app.tasks["pay"].job("no number" if number == at else number)


async def _accepted(app: Headway) -> list[str]:
    counts = await app.pull_carrier.counts()
    page = await app.pull_carrier.list(JobQuery(), limit=1000) if counts else None
    return sorted(job.id for job in page.jobs) if page is not None else []


async def test_an_iterator_that_fails_behind_a_thousand_says_which_were_accepted(opened: Headway) -> None:
    with pytest.raises(PartlyAcceptedError, match=r"1000 jobs were accepted.*order") as caught:
        await opened.enqueue_many(_with_a_bad_one(opened, 1500))
    assert len(caught.value.accepted) == 1000
    assert isinstance(caught.value.__cause__, ArgumentsError)
    assert sorted(caught.value.accepted) == await _accepted(opened)


async def test_an_iterator_that_fails_within_the_first_thousand_has_written_nothing(opened: Headway) -> None:
    with pytest.raises(ArgumentsError, match="order"):
        await opened.enqueue_many(_with_a_bad_one(opened, 500))
    assert await _accepted(opened) == []


def test_the_blocking_twin_says_the_same(app: Headway) -> None:
    with pytest.raises(PartlyAcceptedError) as caught:
        app.sync.enqueue_many(_with_a_bad_one(app, 1500))
    assert len(caught.value.accepted) == 1000
    app.sync.close()


async def test_a_list_is_checked_before_the_first_is_written(
    opened: Headway, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [opened.tasks["pay"].job(number) for number in range(1500)]
    wrong = jobs[-1].new

    def check(job: object) -> None:
        if job is wrong:
            msg = "too far ahead"
            raise UnsupportedError(msg)

    monkeypatch.setattr(opened._opened.here().acceptor, "check", check)
    with pytest.raises(UnsupportedError, match="too far ahead"):
        await opened.enqueue_many(jobs)
    assert await _accepted(opened) == []


def _refuses(_: object) -> Exception:
    return BrokerRefusedError("full")


def _takes_two(jobs: Any) -> Exception:
    error = PartlyAcceptedError([job.id for job in jobs[:2]], BrokerRefusedError("full"))
    error.__cause__ = BrokerRefusedError("full")
    return error


@pytest.mark.parametrize(("fail", "more"), [(_refuses, 0), (_takes_two, 2)])
async def test_a_carrier_that_fails_behind_a_thousand_says_which_were_accepted(
    opened: Headway, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Any], Exception], more: int
) -> None:
    """Also one that takes each job by itself."""
    carrier, calls = opened.pull_carrier, 0
    enqueue = carrier.enqueue

    async def second_fails(jobs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise fail(jobs)
        return await enqueue(jobs)

    monkeypatch.setattr(carrier, "enqueue", second_fails)
    jobs = [opened.tasks["pay"].job(number) for number in range(1500)]
    with pytest.raises(PartlyAcceptedError, match="full") as caught:
        await opened.enqueue_many(jobs)
    assert caught.value.accepted == tuple(job.new.id for job in jobs[: 1000 + more])
    assert isinstance(caught.value.__cause__, (BrokerRefusedError, PartlyAcceptedError))


async def test_of_three_at_once_only_the_one_with_an_impossible_key_is_refused(opened: Headway) -> None:
    @opened.task(name="send", unique=Unique(by=lambda name: name))
    async def send(name: str) -> None: ...

    answers = await asyncio.gather(
        send.enqueue("a"), send.enqueue("\ud800"), send.enqueue("b"), return_exceptions=True
    )
    assert [isinstance(answer, Exception) for answer in answers] == [False, True, False]
    assert len(await _accepted(opened)) == 2
