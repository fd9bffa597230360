"""The last events of all carriers, kept once for everybody who reads them."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from headway.clock import from_ms
from headway.server.live.places import write_places

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headway.events import Event

KEPT: Final = 20_000
"""Events in memory: about 10 MB."""


STEP: Final = 200
"""Events that one reader is given at once: what somebody slow can make us hold is this, about 80 kB."""


class Frame(NamedTuple):
    """One event, as it is sent. `number` counts all frames of this process."""

    number: int
    carrier: str
    event: Event
    content: bytes  # without its id
    sent: bytes  # with the id of somebody who has read everything


class Ring:
    """The last frames, and how far each carrier was read before the first of them."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._frames: deque[Frame] = deque()
        self._numbers: dict[tuple[str, str], int] = {}  # by carrier and cursor
        self._cursors: dict[str, str] = {}  # how far each carrier was read
        self._before: dict[str, str] = {}  # behind which cursor all is here
        self._joined: dict[int, bytes] = {}
        self.end = 0  # the number of the last frame

    @property
    def start(self) -> int:
        """The number before the first frame that is here."""
        return self._frames[0].number - 1 if self._frames else self.end

    @property
    def cursors(self) -> Mapping[str, str]:
        """How far each carrier was read."""
        return self._cursors

    def begin(self, carrier: str, cursor: str) -> None:
        """Note that a carrier is read from here on."""
        self._cursors[carrier] = self._before[carrier] = cursor

    def add(self, carrier: str, event: Event, now_ms: int) -> None:
        """Take the next event of a carrier."""
        self.end += 1
        self._cursors[carrier] = event.cursor
        content = frame_content(carrier, event)
        sent = framed(content, write_places(now_ms, self._cursors))
        self._frames.append(Frame(self.end, carrier, event, content, sent))
        self._numbers[carrier, event.cursor] = self.end
        self._joined.clear()
        while len(self._frames) > self._kept:
            old = self._frames.popleft()
            del self._numbers[old.carrier, old.event.cursor]
            self._before[old.carrier] = old.event.cursor

    def number_of(self, carrier: str, cursor: str) -> int | None:
        """Return the number of the frame with this cursor, or behind which its carrier follows whole; None: neither."""
        if self._before.get(carrier) == cursor:
            return self.start
        return self._numbers.get((carrier, cursor))

    def behind(self, number: int) -> Iterator[Frame]:
        """Return the next frames behind a number, at most `STEP`."""
        first = max(0, number - self.start)
        return islice(self._frames, first, first + STEP)

    def joined(self, number: int) -> bytes:
        """Return the same as they are sent to somebody who wants all; made once for many readers."""
        found = self._joined.get(number)
        if found is None:
            found = self._joined[number] = b"".join(frame.sent for frame in self.behind(number))
        return found


def frame_content(carrier: str, event: Event) -> bytes:
    """Return an event as it is sent, without its id."""
    data = msgspec.json.encode(
        {
            "kind": event.kind,
            "job": event.job_id,
            "queue": event.queue,
            "carrier": carrier,
            "at": from_ms(event.at_ms),
            "epoch": event.epoch,
            "worker": event.worker,
        }
    )
    return b"event: job\ndata: " + data + b"\n\n"


def framed(content: bytes, event_id: str) -> bytes:
    """Return a frame with an id."""
    return b"id: " + event_id.encode() + b"\n" + content
