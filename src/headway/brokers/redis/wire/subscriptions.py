"""The subscription connection of a process: channels come and go; after a cut all are subscribed again."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from headway.brokers.redis.wire.commands import CALL_DEADLINE
from headway.brokers.redis.wire.connection import Connection
from headway.brokers.redis.wire.errors import Answer, ErrorReply, WireError, classify, refused, unavailable
from headway.brokers.redis.wire.greeting import pack
from headway.raised import in_one_line, trace_of
from headway.service import Remarks

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.redis.wire.connect import Connector
    from headway.brokers.redis.wire.greeting import Wire
    from headway.errors import BrokerRefusedError

log = logging.getLogger("headway.redis")

# Seconds after which the connection is tried with a PING: middleboxes drop silent ones without a word.
_SILENCE: Final = 60.0
_PONG_TIMEOUT: Final = 10.0
_BACKOFF_FIRST: Final = 0.02
_BACKOFF_MAX: Final = 2.0
_CUT: Final = (WireError, OSError, TimeoutError)


class Subscription:
    """A listener on a channel. `on_restored` is called when the channel is subscribed again after a cut."""

    __slots__ = ("confirmed", "on_message", "on_restored")

    def __init__(self, on_message: Callable[[bytes], None], on_restored: Callable[[], None]) -> None:
        """Both are called on the loop, and must return at once."""
        self.on_message = on_message
        self.on_restored = on_restored
        self.confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Listener:
    """One connection for all channels; it is made when the first is wanted."""

    def __init__(self, connector: Connector) -> None:
        """Nothing is connected yet."""
        self._connector = connector
        self._channels: dict[bytes, list[Subscription]] = {}
        self._connection: Connection | None = None
        self._runner: asyncio.Task[None] | None = None
        self._over = asyncio.Event()  # the connection ended, or another server holds the keys
        self._failure: Exception | None = None  # what it ended with
        self._heard = False  # anything since the last look
        self._awaited: set[bytes] = set()  # channels that were listened to before a cut
        self._problem: Exception | str = ""
        self._remarks = Remarks(log, connector.name)
        self._refusal: BrokerRefusedError | None = None

    @property
    def connections(self) -> int:
        """How many there are now."""
        return int(self._connection is not None)

    async def subscribe(self, channel: str, subscription: Subscription) -> None:
        """Listen; returns when the server confirmed. Raises BrokerUnavailableError or BrokerRefusedError."""
        name = channel.encode()
        others = self._channels.setdefault(name, [])
        others.append(subscription)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run(), name="headway redis listener")
        else:
            self._send(b"SUBSCRIBE", name)
        try:
            async with asyncio.timeout(CALL_DEADLINE):
                await asyncio.shield(subscription.confirmed)
        except TimeoutError as error:
            await self.unsubscribe(channel, subscription)
            raise self._refusal or unavailable(self._connector.name, self._problem) from error
        except BaseException:
            await self.unsubscribe(channel, subscription)
            raise

    async def unsubscribe(self, channel: str, subscription: Subscription) -> None:
        """Stop listening."""
        name = channel.encode()
        others = self._channels.get(name, [])
        if subscription in others:
            others.remove(subscription)
        if not others and self._channels.pop(name, None) is not None:
            self._send(b"UNSUBSCRIBE", name)

    def reconnect(self) -> None:
        """Connect to the server that holds the keys now: an old one relays messages still, but counts no listeners."""
        self._over.set()

    async def close(self) -> None:
        """Disconnect."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.cancel()
            with suppress(asyncio.CancelledError):
                await runner
        self._channels.clear()

    def _send(self, *command: bytes) -> None:
        if self._connection is not None:  # else all channels are subscribed once there is one
            self._connection.write(pack(*command))

    async def _run(self) -> None:
        delay = _BACKOFF_FIRST
        cut = False
        while True:
            try:
                wire = await self._connector.connect("listen")
            except Exception as error:  # noqa: BLE001 - whatever ended it, all channels are wanted again
                self._note(error)
            else:
                try:
                    delay = _BACKOFF_FIRST
                    await self._listen(wire, cut=cut)
                except Exception as error:  # noqa: BLE001 - as above
                    self._note(error)
                finally:
                    self._connection = None
                    wire.close()
                cut = True
            await asyncio.sleep(random.uniform(0, delay))  # noqa: S311 - no secret
            delay = min(delay * 2, _BACKOFF_MAX)

    def _note(self, error: Exception) -> None:
        self._problem = error
        self._refusal = None
        if not isinstance(error, _CUT):
            what = f"connected anew after {in_one_line(error)}"
            self._remarks.say("the listening connection", what, detail=trace_of(error))
        if isinstance(error, ErrorReply) and classify(error) is Answer.REFUSED:
            self._refusal = refused(self._connector.name, error)

    async def _listen(self, wire: Wire, *, cut: bool) -> None:
        """Pass on messages as they arrive, until the connection ends or another server holds the keys."""
        self._awaited = set(self._channels) if cut else set[bytes]()
        self._over.clear()
        self._failure = None
        self._heard = False
        connection = Connection(self._on_reply, self._on_end, _nothing)
        connection.take_over(wire.transport)
        self._connection = connection
        if self._channels:
            self._send(b"SUBSCRIBE", *self._channels)
        silent = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PONG_TIMEOUT if silent else _SILENCE):
                    await self._over.wait()
                if self._failure is not None:
                    raise self._failure
                return
            if self._heard:
                self._heard = silent = False
            elif silent:
                msg = "the subscription connection is dead: no answer to PING"
                raise WireError(msg)
            else:
                silent = True
                self._send(b"PING")

    def _on_end(self, error: Exception) -> None:
        self._failure = error
        self._over.set()

    def _on_reply(self, reply: Any) -> None:  # noqa: ANN401 - whatever the server sends
        self._heard = True
        if isinstance(reply, Exception):
            self._on_end(reply)
        else:
            self._on_message(reply, self._awaited)

    def _on_message(self, message: Any, awaited: set[bytes]) -> None:  # noqa: ANN401 - whatever the server sends
        match message:
            case [b"message", bytes() as channel, bytes() as content]:
                for subscription in tuple(self._channels.get(channel, ())):
                    self._hand_on(channel, content, subscription)
            case [b"subscribe", bytes() as channel, _]:
                restored = channel in awaited
                awaited.discard(channel)
                for subscription in tuple(self._channels.get(channel, ())):
                    if not subscription.confirmed.done():
                        subscription.confirmed.set_result(None)
                    elif restored:
                        subscription.on_restored()
            case _:
                pass  # answers to UNSUBSCRIBE and PING

    def _hand_on(self, channel: bytes, content: bytes, subscription: Subscription) -> None:
        """Call back; a message that cannot be read (anybody may publish) is dropped, with one line in the log."""
        try:
            subscription.on_message(content)
        except Exception as error:  # noqa: BLE001 - one message; those behind it are to be heard
            self._remarks.say(
                channel.decode(errors="replace"), f"a message was dropped: {in_one_line(error)}"
            )


def _nothing() -> None:
    """Do nothing when the socket has room again: SUBSCRIBE commands are short and never wait for it."""
