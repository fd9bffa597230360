"""A lent connection: one borrower at a time, and what each leaves behind is known when it comes back."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import hiredis
import pytest

from headway.brokers.redis.wire.blocking import NO_ANSWER, Loan, Stage
from headway.brokers.redis.wire.errors import ProtocolError
from headway.brokers.redis.wire.socket import Handle

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING = object()
CALL = b"*1\r\n$4\r\nPING\r\n"


class Watched(Handle):
    """A handle that notes its end."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


class Scene:
    """A loan, the server's end of its connection, and how often it was said to be back."""

    def __init__(self, patience: float = 5.0) -> None:
        near, self.far = socket.socketpair()
        self.near = Watched(near.detach(), patience)
        self.far.settimeout(5)
        self.returned = 0
        self.loan = self.lend(self.near)

    def lend(self, connection: Any) -> Loan:
        return Loan(connection, hiredis.Reader(notEnoughData=NOTHING), NOTHING, self._back)

    def _back(self) -> None:
        self.returned += 1


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.near.close()
    scene.far.close()


def test_a_call_is_written_and_its_reply_returned(scene: Scene) -> None:
    scene.far.sendall(b":7\r\n")
    assert scene.loan.call(CALL) == 7
    assert scene.far.recv(100) == CALL
    assert (scene.loan.stage, scene.returned) == (Stage.QUIET, 0)


def test_a_recalled_loan_is_used_by_nobody(scene: Scene) -> None:
    assert scene.loan.recall()
    assert scene.loan.call(CALL) is NO_ANSWER
    scene.far.setblocking(False)
    with pytest.raises(BlockingIOError):
        scene.far.recv(1)


def test_who_finds_it_taken_goes_another_way_and_the_recall_is_answered_when_it_is_free(scene: Scene) -> None:
    answers: list[Any] = []
    borrower = threading.Thread(target=lambda: answers.append(scene.loan.call(CALL)))
    borrower.start()
    assert scene.far.recv(100) == CALL  # the borrower is under way
    assert scene.loan.call(CALL) is NO_ANSWER
    assert not scene.loan.recall()
    assert scene.returned == 0
    scene.far.sendall(b":1\r\n")
    borrower.join(5)
    assert (answers, scene.returned) == ([1], 1)
    assert scene.loan.recall()
    assert scene.loan.stage is Stage.QUIET


def test_an_answer_that_is_late_is_left_to_the_loop() -> None:
    scene = Scene(patience=0.01)
    assert scene.loan.call(CALL) is NO_ANSWER
    assert (scene.loan.stage, scene.returned) == (Stage.WAITING, 1)
    assert scene.loan.call(CALL) is NO_ANSWER
    assert scene.far.recv(100) == CALL  # once
    scene.near.close()
    scene.far.close()


def test_an_ended_connection_is_unusable(scene: Scene) -> None:
    scene.far.close()
    assert scene.loan.call(CALL) is NO_ANSWER
    assert (scene.loan.stage, scene.returned) == (Stage.UNUSABLE, 1)


def test_what_is_no_reply_is_unusable(scene: Scene) -> None:
    reader = hiredis.Reader(protocolError=ProtocolError, notEnoughData=NOTHING)
    loan = Loan(scene.near, reader, NOTHING, lambda: None)
    scene.far.sendall(b"?!\r\n")
    assert loan.call(CALL) is NO_ANSWER
    assert loan.stage is Stage.UNUSABLE


class Interrupted:
    """A connection at which Ctrl-C strikes."""

    def __init__(self, at: str) -> None:
        self._at = at

    def sendall(self, _: bytes) -> None:
        if self._at == "send":
            raise KeyboardInterrupt

    def recv(self, _: int) -> bytes:
        raise KeyboardInterrupt


@pytest.mark.parametrize(("at", "stage"), [("send", Stage.UNUSABLE), ("receive", Stage.WAITING)])
def test_an_interrupted_borrower_leaves_word(scene: Scene, at: str, stage: Stage) -> None:
    loan = scene.lend(Interrupted(at))
    with pytest.raises(KeyboardInterrupt):
        loan.call(CALL)
    assert (loan.stage, scene.returned) == (stage, 1)
    assert loan.call(CALL) is NO_ANSWER
    assert loan.recall()


def test_an_abandoned_loan_cuts_its_borrower_off_and_closes_the_handle_behind_it(scene: Scene) -> None:
    answers: list[Any] = []
    borrower = threading.Thread(target=lambda: answers.append(scene.loan.call(CALL)))
    borrower.start()
    assert scene.far.recv(100) == CALL
    scene.loan.abandon()
    borrower.join(5)
    assert answers == [NO_ANSWER]
    assert scene.near.closed


def test_an_abandoned_loan_without_a_borrower_is_closed_at_once(scene: Scene) -> None:
    scene.loan.abandon()
    assert scene.near.closed
