"""Bodies on their way are bounded in all: the sender that takes longest makes way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headway.push.http import DisconnectedError
from headway.push.intake import MAX_BEYOND, MAX_BODY, MAX_IN_ALL, Intake

if TYPE_CHECKING:
    from headway.brokers.base import BodySums


class Sums:
    def __init__(self) -> None:
        self.seen = 0

    def update(self, part: bytes, /) -> None:
        self.seen += len(part)


class Sender:
    """Sends a body part by part."""

    def __init__(self, intake: Intake, sums: BodySums | None = None) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reading = asyncio.create_task(intake.read(self.inbox.get, lambda: sums))

    def say(self, body: bytes, *, more: bool = True) -> None:
        self.inbox.put_nowait({"type": "http.request", "body": body, "more_body": more})


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_body_comes_in_parts() -> None:
    intake = Intake(1)
    sender = Sender(intake)
    sender.say(b"a")
    sender.say(b"")
    await turns()
    assert intake.held == 1
    sender.say(b"b", more=False)
    assert (await sender.reading).data == b"ab"
    assert intake.held == 0


async def test_the_bytes_of_all_are_bounded_and_the_longest_on_its_way_gives_up_its_own() -> None:
    intake = Intake(100, in_all=10)
    first, second = Sender(intake), Sender(intake)
    first.say(b"x" * 6)
    second.say(b"x" * 4)
    await turns()
    assert intake.held == 10
    second.say(b"x")
    await turns()
    with pytest.raises(DisconnectedError, match="make way"):
        await first.reading
    assert intake.held == 5
    second.say(b"", more=False)
    assert (await second.reading).data == b"xxxxx"


async def test_a_sender_that_alone_is_too_much_makes_way_too() -> None:
    intake = Intake(100, in_all=10)
    sender = Sender(intake)
    sender.say(b"x" * 11)
    with pytest.raises(DisconnectedError):
        await sender.reading
    assert intake.held == 0


async def test_one_message_may_be_of_any_size() -> None:
    """A server in front may hand over at once what it was sent: no more of it than fits is copied."""
    intake = Intake(1)
    sender = Sender(intake)
    sender.say(b"x" * (3 * MAX_BODY))
    assert len((await sender.reading).data) == MAX_BODY
    assert intake.held == 0


async def test_a_chunked_body_without_end_ends() -> None:
    intake = Intake(1)
    sender = Sender(intake)
    for _ in range(MAX_BODY // 100_000 + 1):
        sender.say(b"x" * 100_000)
    assert len((await sender.reading).data) == MAX_BODY


async def test_empty_parts_without_end_are_given_up() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(DisconnectedError, match="did not arrive"):
        await Intake(1, seconds=0.01).read(receive, lambda: None)


async def test_a_reader_that_is_cancelled_leaves_its_place() -> None:
    intake = Intake(1)
    sender = Sender(intake)
    sender.say(b"abc")
    await turns()
    sender.reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sender.reading
    assert intake.held == 0
    other = Sender(intake)
    other.say(b"d", more=False)
    assert (await other.reading).data == b"d"


def test_all_bodies_together_fit_a_small_instance() -> None:
    assert MAX_IN_ALL == 64 * 1024 * 1024


@pytest.mark.parametrize(
    "parts", [[MAX_BODY + 1], [MAX_BODY, 1], [1, MAX_BODY], [MAX_BODY - 1, 1, 1, 7], [3 * MAX_BODY, 5]]
)
async def test_what_is_too_long_is_not_kept_but_proven_whole(parts: list[int]) -> None:
    intake, sums = Intake(1), Sums()
    sender = Sender(intake, sums)
    for size in parts:
        sender.say(b"x" * size)
    sender.say(b"", more=False)
    body = await sender.reading
    assert (len(body.data), body.sums) == (MAX_BODY, sums)
    assert sums.seen == sum(parts)
    assert intake.held == 0


async def test_what_is_not_too_long_needs_no_sums() -> None:
    sender = Sender(Intake(1), sums := Sums())
    sender.say(b"x" * MAX_BODY, more=False)
    assert (await sender.reading).sums is None
    assert sums.seen == 0


async def test_a_body_without_end_is_not_summed_without_end() -> None:
    sender = Sender(Intake(1), sums := Sums())
    for _ in range(MAX_BEYOND // 1_000_000 + 10):
        sender.say(b"x" * 1_000_000)
    assert len((await sender.reading).data) == MAX_BODY
    assert sums.seen < MAX_BEYOND + 3_000_000
