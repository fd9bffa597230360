"""A socket of blocking calls: it is looked at before a thread sleeps for it."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from headway.brokers.redis.wire import socket as handle_module
from headway.brokers.redis.wire import spin
from headway.brokers.redis.wire.socket import Handle

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 5.0
LARGE = bytes(4 * 2**20)  # more than the buffers of a socket take


class Scene:
    """A handle and the other end."""

    def __init__(self, patience: float) -> None:
        near, self.far = socket.socketpair()
        self.far.settimeout(PATIENCE)
        self.handle = Handle(near, patience)

    def close(self) -> None:
        self.handle.close()
        self.far.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene(PATIENCE)
    yield scene
    scene.close()


def test_close_behind_an_answer_the_next_is_looked_for_and_way_is_made_in_between(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def yield_cpu() -> None:
        looks.append(len(looks))
        if len(looks) == 3:
            scene.far.sendall(b"two")

    monkeypatch.setattr(spin, "EAGER", PATIENCE)
    monkeypatch.setattr(handle_module, "yield_cpu", yield_cpu)
    scene.far.sendall(b"one")
    scene.handle.sendall(b"?")
    assert scene.handle.recv(100) == b"one"
    assert looks == []  # a call that stands alone sleeps
    scene.handle.sendall(b"?")
    assert scene.handle.recv(100) == b"two"
    assert looks == [0, 1, 2]


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_what_comes_later_is_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(spin, "EAGER", seconds)
    scene.handle._pace.answered()
    scene.handle.sendall(b"?")
    timer = threading.Timer(0.05, scene.far.sendall, (b"late",))
    timer.start()
    assert scene.handle.recv(100) == b"late"
    timer.join(PATIENCE)


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(0.01)
    with pytest.raises(TimeoutError):
        scene.handle.recv(100)
    with pytest.raises(TimeoutError):
        scene.handle.sendall(LARGE)  # nobody reads
    scene.close()


def test_the_end_is_no_bytes(scene: Scene) -> None:
    scene.far.close()
    assert scene.handle.recv(100) == b""


def test_more_than_the_socket_takes_at_once_is_sent_whole(scene: Scene) -> None:
    received: list[bytes] = []

    def read() -> None:
        while sum(map(len, received)) < len(LARGE):
            received.append(scene.far.recv(2**20))

    reader = threading.Thread(target=read)
    reader.start()
    scene.handle.sendall(LARGE)
    reader.join(PATIENCE)
    assert b"".join(received) == LARGE
