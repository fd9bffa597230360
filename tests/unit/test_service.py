"""Loops that live as long as their owner: `headway.service`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from headway.errors import BrokerRefusedError, BrokerUnavailableError
from headway.raised import in_one_line
from headway.service import Outage, Remarks, Services

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

_LOG = logging.getLogger("headway.test")


class Hostile(Exception):  # noqa: N818 - only an example
    """An exception of an application that cannot even be shown."""

    __notes__ = property(lambda self: 1 / 0)  # pyright: ignore[reportAssignmentType]

    def __str__(self) -> str:
        raise SystemExit(3)


FAULTS: list[Callable[[], BaseException]] = [
    lambda: BrokerUnavailableError("cut"),
    lambda: BrokerRefusedError("full"),
    lambda: ValueError("damaged"),
    lambda: RecursionError("deep"),
    MemoryError,
    lambda: SystemExit(3),
    asyncio.CancelledError,  # of a future that somebody else cancelled
    StopIteration,
    Hostile,
    lambda: BaseExceptionGroup("several", [SystemExit(1), ValueError("x")]),
]


@pytest.fixture
async def services() -> AsyncGenerator[Services]:
    group = Services(_LOG, "owner x")
    yield group
    await group.stop()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault()).__name__)
async def test_a_bad_round_ends_no_service_and_is_said_once(
    services: Services, fault: Callable[[], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    played = 0
    good = asyncio.Event()

    async def play() -> float:
        nonlocal played
        played += 1
        if played <= 3:
            await asyncio.sleep(0)
            raise fault()
        good.set()
        return 60.0

    service = services.start("sweep", play)
    await asyncio.wait_for(good.wait(), 10)
    await asyncio.sleep(0)
    assert (service.rounds, service.failures) == (1, 0)
    lines = [record for record in caplog.records if "sweep" in record.getMessage()]
    assert len(lines) == 1, [line.getMessage() for line in lines]
    assert "owner x: sweep" in lines[0].getMessage()


async def test_what_is_wrong_is_said_again_when_it_was_well_between(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    rounds = iter([ValueError("a"), None, ValueError("a"), KeyError("b"), None])
    over = asyncio.Event()

    async def play() -> float:
        error = next(rounds, None)
        if error is not None:
            raise error
        if (services_left := next(iter(services))).rounds >= 1:
            over.set()
            assert services_left.name == "sweep"
            return 60.0
        return 0.0

    services.start("sweep", play)
    await asyncio.wait_for(over.wait(), 10)
    said = [record.getMessage().splitlines()[0] for record in caplog.records]
    assert [next(kind for kind in ("ValueError", "KeyError") if kind in line) for line in said] == [
        "ValueError",
        "ValueError",
        "KeyError",
    ]


async def test_stopping_ends_every_service(services: Services) -> None:
    async def for_ever() -> float:
        await asyncio.Event().wait()
        return 0.0

    async def once_a_minute() -> float:
        return 60.0

    services.start("listen", for_ever)
    services.start("sweep", once_a_minute)
    await asyncio.sleep(0)
    await asyncio.wait_for(services.stop(), 5)
    assert list(services) == []


async def test_one_outage_is_two_lines_however_many_loops_find_it(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(_LOG, "worker x: its carrier")
    group = Services(_LOG, "worker x", outage=outage)
    away = [True]
    rounds = dict.fromkeys(["claim", "beat", "tend"], 0)

    def loop(name: str) -> Callable[[], Awaitable[float]]:
        async def play() -> float:
            if away:
                raise BrokerUnavailableError
            rounds[name] += 1
            return 0.01

        return play

    for name in rounds:
        group.start(name, loop(name))
    async with asyncio.timeout(10):
        while any(service.failures < 2 for service in group):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        assert [outage.away] == [True]  # in a list: the type checker takes it for constant
        away.clear()
        while not all(rounds.values()) or outage.away:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
    await group.stop()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2, lines
    assert "is not available" in lines[0]
    assert "is available again, after" in lines[1]


async def test_a_loop_that_had_an_answer_lets_the_others_try_at_once() -> None:
    outage = Outage(_LOG, "x")
    outage.lost("claim", BrokerUnavailableError("cut"))
    outage.lost("tend", BrokerUnavailableError("cut"))
    waiting = asyncio.create_task(outage.pause(3600))
    await asyncio.sleep(0)
    outage.answers("settle")  # which had not failed: that is no news
    await asyncio.sleep(0)
    assert not waiting.done()
    outage.answers("claim")
    await asyncio.wait_for(waiting, 5)
    assert outage.away
    outage.answers("tend")
    assert not outage.away


def test_an_entry_is_named_once_until_it_changes_or_is_well(caplog: pytest.LogCaptureFixture) -> None:
    remarks = Remarks(_LOG, "worker x")
    for error in [ValueError("a"), ValueError("a"), KeyError("b"), None, KeyError("b")]:
        with remarks.passing_over("schedule 'nightly'"):
            if error is not None:
                raise error
    assert remarks.count == 4
    assert len(caplog.records) == 3
    assert list(remarks.present) == ["schedule 'nightly'"]


def test_remarks_do_not_grow_without_end() -> None:
    remarks = Remarks(_LOG, "worker x")
    for number in range(3000):
        remarks.say(f"entry {number}", "damaged", level=logging.DEBUG)
    assert len(remarks.present) == 1000
    assert remarks.count == 3000


async def test_a_cancellation_of_ones_own_is_passed_on() -> None:
    remarks = Remarks(_LOG, "worker x")
    began = asyncio.Event()

    async def handle() -> None:
        with remarks.passing_over("entry"):
            began.set()
            await asyncio.Event().wait()
        pytest.fail("went on")

    task = asyncio.create_task(handle())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert remarks.count == 0


def test_any_exception_is_described_in_one_line() -> None:
    assert in_one_line(ValueError("a\n  b")) == "ValueError: a b"
    assert in_one_line(Hostile()) == "Hostile: (its text cannot be made: SystemExit)"
    assert in_one_line(KeyError()) == "KeyError"
