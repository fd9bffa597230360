"""The command connection of a process: all calls of all tasks share it, in order, many in flight.

A lone call leaves at once; calls made while others are under way leave together at the loop's next turn. When the
connection is cut, it is made anew with a growing, jittered delay, and every call whose answer is outstanding is sent
again, marked as a repeat (see `ScriptCall`), until its deadline.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from headway.brokers.redis.wire.blocking import Blocking
from headway.brokers.redis.wire.call import Call
from headway.brokers.redis.wire.connection import Connection
from headway.brokers.redis.wire.errors import (
    Answer,
    ErrorReply,
    ProtocolError,
    WireError,
    classify,
    refused,
    unavailable,
    unwritable,
)
from headway.brokers.redis.wire.spin import SpinWait
from headway.errors import BrokerError, BrokerUnavailableError
from headway.raised import in_one_line, trace_of
from headway.service import Remarks

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.redis.location import Address
    from headway.brokers.redis.wire.connect import Connector
    from headway.brokers.redis.wire.greeting import Wire

log = logging.getLogger("headway.redis")

CALL_DEADLINE: Final = 10.0  # seconds: a Sentinel fail-over with usual settings, or a restart, fits in
ANSWER_TIMEOUT: Final = (
    4.0  # seconds of silence: a hung connection is found while the deadline still allows a second try
)
_OPEN_DEADLINE: Final = 3.0  # opening fails soon: the address may be wrong
_SWEEP: Final = 0.25  # seconds between looks at deadlines, only while calls are under way
_AGAIN_SOON: Final = 0.1  # seconds before a call is sent again to a server that is loading or moving the slot
_TROUBLE_AFTER: Final = 2.0  # seconds: a cut connection is usually there again before anybody need know
_BACKOFF_FIRST: Final = 0.02
_BACKOFF_MAX: Final = 2.0

_CUT: Final = (WireError, OSError, TimeoutError)


class Commands:
    """The connection for commands to the server of an app; made anew after each cut, until it is closed."""

    def __init__(self, connector: Connector, *, on_elsewhere: Callable[[], None]) -> None:
        """Nothing is connected before `open`. `on_elsewhere` is called when another server has taken over."""
        self._connector = connector
        self._remarks = Remarks(log, connector.name)
        self._on_elsewhere = on_elsewhere
        self._outbox: deque[Call] = deque()
        self._in_flight: deque[Call] = deque()
        self._delayed: set[Call] = set()
        self._connection: Connection | None = None
        self.sent = 0  # commands written since the start
        self._flush_is_due = False
        self._spin = SpinWait(lambda: self._in_flight)
        self.blocking = Blocking(connector)
        self._runner: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._last_answer = 0.0
        self._down_since = 0.0  # an instant of the loop's clock
        self._stalled = asyncio.Event()
        self._problem: Exception | str = ""  # what kept calls from being answered last
        self._unopened = f"{connector.name}: the broker is not open; use `async with` or await open()"

    async def open(self) -> None:
        """Connect, with a few tries; raises BrokerUnavailableError or BrokerRefusedError."""
        if self._runner is not None:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _OPEN_DEADLINE
        delay = _BACKOFF_FIRST
        while True:
            try:
                wire = await self._connector.connect("command")
            except _CUT as error:
                self._check_refusal(error)
                if loop.time() + delay > deadline:
                    unopened = self._unavailable()
                    self._unopened = str(unopened)
                    raise unopened from error
                await asyncio.sleep(delay)
                delay *= 2
            else:
                self._runner = loop.create_task(self._run(wire), name="headway redis commands")
                return

    @property
    def trouble(self) -> str:
        """What has kept the server from being reached for some seconds; empty: nothing that is known."""
        if self._runner is None or self._connection is not None:
            return ""
        down = asyncio.get_running_loop().time() - self._down_since
        return str(self._unavailable()) if down > _TROUBLE_AFTER else ""

    @property
    def connections(self) -> int:
        """How many there are now, with that of blocking callers."""
        return int(self._connection is not None) + int(self.blocking.opened)

    async def close(self) -> None:
        """Disconnect; calls under way fail."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
            await asyncio.wait([runner])  # which raises nothing of what the runner may have failed with
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._fail_all(BrokerUnavailableError(f"{self._connector.name}: the broker was closed"))

    def submit(self, call: Call, *, at_once: bool = False, look: bool = False) -> asyncio.Future[Any]:
        """Put a call on its way; the future gets the reply or the error.

        `at_once`: send it without waiting for others. `look`: spin-wait, as its caller does nothing before the answer.
        """
        if self._runner is None:
            raise BrokerUnavailableError(self._unopened)
        self._outbox.append(call)
        if at_once or not self._in_flight:
            # Without `at_once` too, if nothing is under way that it could travel with.
            lone = not self._in_flight
            self._flush()
            if look and lone:
                self._spin.begin()
        else:
            self._flush_soon()
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP, self._sweep)
        return call.future

    def _flush_soon(self) -> None:
        """Send at the loop's next turn, with whatever else comes until then."""
        if not self._flush_is_due:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def _run(self, wire: Wire | None) -> None:
        delay = _BACKOFF_FIRST
        while True:
            if wire is None:
                wire = await self._reconnect(delay)
                if wire is None:
                    delay = min(delay * 2, _BACKOFF_MAX)
                    continue
            try:
                await self._serve(wire)
            except Exception as error:  # noqa: BLE001 - whatever ended it, it is as good as cut
                self._note(error)
                delay = min(delay * 2, _BACKOFF_MAX)
            else:
                delay = _BACKOFF_FIRST
            finally:
                wire.close()
            wire = None
            self._queue_again()

    async def _reconnect(self, delay: float) -> Wire | None:
        # Full jitter: the processes of a fleet must not come back in step.
        await asyncio.sleep(random.uniform(0, delay))  # noqa: S311 - no secret
        try:
            return await self._connector.connect("command")
        except Exception as error:  # noqa: BLE001 - as above
            self._note(error)
            try:
                self._check_refusal(error)
            except BrokerError as refusal:
                self._queue_again()
                self._fail_all(refusal)
            return None

    def _note(self, error: Exception) -> None:
        self._problem = error
        if not isinstance(error, _CUT):
            self._remarks.say(
                "the connection", f"made anew after {in_one_line(error)}", detail=trace_of(error)
            )

    async def _serve(self, wire: Wire) -> None:
        """Use the connection until it ends, or until another one is needed."""
        self._stalled.clear()
        self._last_answer = asyncio.get_running_loop().time()
        connection = Connection(self._answered, self._ended, self._flush)
        connection.take_over(wire.transport)
        self._connection = connection
        self.blocking.allow(wire.address)
        try:
            self._flush()
            await self._stalled.wait()
        finally:
            self._connection = None
            self._down_since = asyncio.get_running_loop().time()
            self.blocking.drop()

    def _flush(self) -> None:
        """Send what waits, in one write."""
        self._flush_is_due = False
        connection = self._connection
        if connection is None or connection.full or not self._outbox:
            return
        now = asyncio.get_running_loop().time()
        batch: list[bytes] = []
        while self._outbox:
            call = self._outbox.popleft()
            if call.future.done():  # its caller has gone
                continue
            try:
                packed = call.packed()
            except Exception as error:  # noqa: BLE001 - its caller gets it; all others must leave
                call.future.set_exception(unwritable(self._connector.name, error))
                continue
            # Written first, noted then: an answer goes to the call that stands first here.
            batch.append(packed)
            call.sent_at = now
            self._in_flight.append(call)
        if batch:
            self.sent += len(batch)
            connection.write(b"".join(batch))

    def _answered(self, reply: Any) -> None:  # noqa: ANN401 - whatever the server answers
        self._last_answer = asyncio.get_running_loop().time()
        self._spin.answered()
        if not self._in_flight:
            self._ended(ProtocolError("an answer to no call"))
            return
        call = self._in_flight.popleft()
        if call.future.done():
            return
        if isinstance(reply, Exception):
            self._on_error(call, reply)
        elif call.read is None:
            call.future.set_result(reply)
        else:
            self._read(call, call.read, reply)

    def _read(self, call: Call, read: Callable[[Any], Any], reply: Any) -> None:  # noqa: ANN401 - as above
        try:
            result = read(reply)
        except Exception as error:  # noqa: BLE001 - its caller gets it; the connection is sound
            call.future.set_exception(error)
            return
        if isinstance(result, Call):
            result.future, result.deadline = call.future, call.deadline
            self._outbox.append(result)
            self._flush_soon()
        else:
            call.future.set_result(result)

    def _ended(self, error: Exception) -> None:
        self._problem = error
        self._stalled.set()

    def _on_error(self, call: Call, error: Exception) -> None:
        match classify(error):
            case Answer.UNKNOWN_SCRIPT if call.use_source():
                self._outbox.append(call)
                self._flush_soon()
            case Answer.WAIT:
                self._problem = error
                self._delayed.add(call)
                asyncio.get_running_loop().call_later(_AGAIN_SOON, self._send_delayed, call)
            case Answer.ELSEWHERE if self._connector.movable:
                self._problem = error
                self._outbox.append(call)
                self._connector.moved(_new_address(error))
                self._on_elsewhere()
                self._stalled.set()
            case _:
                call.future.set_exception(refused(self._connector.name, error))

    def _send_delayed(self, call: Call) -> None:
        self._delayed.discard(call)
        if not call.future.done():
            self._outbox.append(call)
            self._flush_soon()

    def _queue_again(self) -> None:
        """Send the unanswered calls again, first and in their order: the server may have run them already."""
        lost = [call for call in self._in_flight if not call.future.done()]
        self._in_flight.clear()
        for call in lost:
            call.repeated = True
        self._outbox.extendleft(reversed(lost))

    def _sweep(self) -> None:
        self._sweeper = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for call in (*self._in_flight, *self._outbox, *self._delayed):
            if now >= call.deadline and not call.future.done():
                call.future.set_exception(self._unavailable())
        if self._in_flight:
            silent_since = max(self._last_answer, self._in_flight[0].sent_at)
            if now - silent_since > ANSWER_TIMEOUT:
                self._problem = f"no answer for {ANSWER_TIMEOUT:g} s"
                self._stalled.set()
        if self._in_flight or self._outbox or self._delayed:
            self._sweeper = loop.call_later(_SWEEP, self._sweep)

    def _fail_all(self, error: BrokerError) -> None:
        calls = (*self._in_flight, *self._outbox, *self._delayed)
        self._in_flight.clear()
        self._outbox.clear()
        self._delayed.clear()
        for call in calls:
            if not call.future.done():
                call.future.set_exception(error)

    def _check_refusal(self, error: Exception) -> None:
        self._problem = error
        if isinstance(error, ErrorReply) and classify(error) is Answer.REFUSED:
            raise refused(self._connector.name, error) from error

    def _unavailable(self) -> BrokerUnavailableError:
        return unavailable(self._connector.name, self._problem)


def _new_address(error: Exception) -> Address | None:
    """Read `MOVED 3999 host:6381`; None when the server does not know its own name, or it says READONLY."""
    if not isinstance(error, ErrorReply) or error.code != "MOVED":
        return None
    host, _, port = str(error).rpartition(" ")[2].rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else None
