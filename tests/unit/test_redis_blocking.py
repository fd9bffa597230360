"""The connection of blocking calls: one caller at a time, and after whatever is unusual a new one."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from headway.brokers.redis.location import parse
from headway.brokers.redis.wire import blocking as module
from headway.brokers.redis.wire.blocking import NO_ANSWER, Blocking
from headway.brokers.redis.wire.connect import Connector
from headway.brokers.redis.wire.errors import ErrorReply
from headway.brokers.redis.wire.greeting import pack
from headway.brokers.redis.wire.socket import Handle

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = 5.0
CALL = pack("GET", "a")


class Scene:
    """A connection to be, a server that does as it is told, and the calls of other threads."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(WAIT)
        self.address = ("127.0.0.1", self.server.getsockname()[1])
        self.blocking = Blocking(
            Connector(parse(f"redis://127.0.0.1:{self.address[1]}"), namespace="n", key="k")
        )
        self.blocking.allow(self.address)
        self.answers: list[Any] = []
        self._threads: list[threading.Thread] = []
        self._ends: list[socket.socket] = []

    def call(self) -> None:
        """Begin a call on another thread."""
        thread = threading.Thread(target=lambda: self.answers.append(self.blocking.call(CALL)))
        thread.start()
        self._threads.append(thread)

    def accept(self, greeted: bytes = b"+OK\r\n") -> socket.socket:
        """Return the server's end of the connection that is made now."""
        far, _ = self.server.accept()
        far.settimeout(WAIT)
        self._ends.append(far)
        assert b"headway:n:blocking:" in far.recv(1000)
        far.sendall(greeted)
        return far

    def join(self) -> list[Any]:
        for thread in self._threads:
            thread.join(WAIT)
            assert not thread.is_alive()
        return self.answers

    def begun(self) -> socket.socket:
        """Begin a first call, and return the server's end when it has come."""
        self.call()
        far = self.accept()
        assert far.recv(1000) == CALL
        return far

    def connected(self) -> socket.socket:
        """Let a first call be answered, and return the server's end."""
        far = self.begun()
        far.sendall(b":1\r\n")
        assert self.join() == [1]
        self.answers.clear()
        return far

    def close(self) -> None:
        self.blocking.drop()
        for end in (self.server, *self._ends):
            end.close()
        self.join()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(module, "PATIENCE", WAIT)
    scene = Scene()
    yield scene
    scene.close()


def _read_all(far: socket.socket) -> bytes:
    read = b""
    with suppress(ConnectionResetError):
        while data := far.recv(1000):
            read += data
    return read


def _ended(far: socket.socket) -> bool:
    try:
        return far.recv(1000) == b""
    except ConnectionResetError:
        return True


def test_an_answer_may_come_in_pieces_and_the_next_call_goes_the_same_way(scene: Scene) -> None:
    far = scene.connected()
    scene.call()
    assert far.recv(1000) == CALL
    far.sendall(b":")
    far.sendall(b"7\r\n")
    assert scene.join() == [7]


def test_an_error_is_an_answer(scene: Scene) -> None:
    far = scene.connected()
    scene.call()
    assert far.recv(1000) == CALL
    far.sendall(b"-NOSCRIPT no\r\n")
    (answer,) = scene.join()
    assert isinstance(answer, ErrorReply)
    scene.call()
    assert far.recv(1000) == CALL  # and the connection is sound
    far.sendall(b":7\r\n")
    assert scene.join()[1:] == [7]


def test_nobody_waits_for_another_callers_answer(scene: Scene) -> None:
    far = scene.begun()
    assert scene.blocking.call(CALL) is NO_ANSWER
    far.sendall(b":7\r\n")
    assert scene.join() == [7]


def test_without_a_place_nothing_is_opened(scene: Scene) -> None:
    scene.blocking.drop()
    assert scene.blocking.call(CALL) is NO_ANSWER
    scene.server.settimeout(0)
    with pytest.raises(BlockingIOError):
        scene.server.accept()


@pytest.mark.parametrize("end", [b"", b":", b"?no reply\r\n"])
def test_after_a_broken_connection_the_next_call_makes_another(scene: Scene, end: bytes) -> None:
    far = scene.connected()
    scene.call()
    assert far.recv(1000) == CALL
    far.sendall(end)
    with suppress(OSError):  # the caller may have cut it by now
        far.shutdown(socket.SHUT_WR)
    assert scene.join() == [NO_ANSWER]
    assert _ended(far)
    scene.call()
    again = scene.accept()
    assert again.recv(1000) == CALL
    again.sendall(b":7\r\n")
    assert scene.join()[1:] == [7]


def test_a_late_answer_is_not_taken_for_that_of_the_next_call(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "PAUSE", WAIT)
    far = scene.begun()
    assert scene.join() == [NO_ANSWER]
    assert _ended(far)
    assert scene.blocking.call(CALL) is NO_ANSWER  # for a while nobody else waits for it
    scene.blocking.allow(scene.address)
    scene.call()
    assert scene.accept().recv(1000) == CALL


@pytest.mark.parametrize("refusal", [b"-ERR max number of clients reached\r\n", b"-NOAUTH no\r\n"])
def test_a_server_that_refuses_is_left_alone_for_a_while(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, refusal: bytes
) -> None:
    monkeypatch.setattr(module, "PAUSE", WAIT)
    scene.call()
    assert _ended(scene.accept(refusal))
    assert scene.join() == [NO_ANSWER]
    assert scene.blocking.call(CALL) is NO_ANSWER
    scene.server.settimeout(0)
    with pytest.raises(BlockingIOError):
        scene.server.accept()


def test_an_interrupted_caller_leaves_nothing_behind_which_others_write(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = scene.connected()

    def half(self: Handle, data: bytes) -> None:
        self._socket.sendall(data[:-4])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Handle, "sendall", half)
        with pytest.raises(KeyboardInterrupt):
            scene.blocking.call(CALL)
    scene.call()
    assert scene.accept().recv(1000) == CALL
    assert _read_all(far) in {b"", CALL[:-4]}  # what a reset leaves of it


def test_dropped_while_idle_it_is_closed_at_once(scene: Scene) -> None:
    far = scene.connected()
    scene.blocking.drop()
    assert _ended(far)


def test_dropped_under_a_caller_it_is_closed_when_the_answer_has_come(scene: Scene) -> None:
    far = scene.begun()
    scene.blocking.drop()
    far.sendall(b":7\r\n")
    assert scene.join() == [7]
    assert _ended(far)


def test_another_place_is_another_connection(scene: Scene) -> None:
    far = scene.connected()
    scene.blocking.allow(scene.address)
    scene.call()
    assert _ended(far)
    assert scene.accept().recv(1000) == CALL
