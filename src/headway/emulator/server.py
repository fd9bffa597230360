"""The emulator as one object: state, dispatcher and both servers. The command and the tests start it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from headway.clock import SystemClock
from headway.emulator.access import Access
from headway.emulator.attempts import Attempts
from headway.emulator.batches import Batches
from headway.emulator.buffer import Buffer
from headway.emulator.control import control_routes
from headway.emulator.delivery import HttpDelivery
from headway.emulator.dispatch import Dispatcher
from headway.emulator.errors import ApiError
from headway.emulator.faults import Dice, Faults
from headway.emulator.gate import Gate
from headway.emulator.grpc import handlers, new_server
from headway.emulator.http import HttpServer
from headway.emulator.journal import Journal
from headway.emulator.locations import Locations
from headway.emulator.model import Limits
from headway.emulator.operations import operations
from headway.emulator.queues import Queues
from headway.emulator.rest import application, routes
from headway.emulator.store import Store
from headway.emulator.tasks import Tasks
from headway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from starlette.routing import BaseRoute

    from headway.clock import Clock
    from headway.emulator.credentials import Credentials
    from headway.emulator.dispatch import Deliver
    from headway.emulator.operations import Operation
    from headway.emulator.wire import Message

_GRACE_S: Final = 1.0


class Part(Protocol):
    """Something else that the emulator serves, such as Cloud Scheduler. It may keep records in the same journal."""

    @property
    def grpc_handlers(self) -> Sequence[Any]:
        """Generic handlers of gRPC."""
        ...

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """Routes of the HTTP port."""
        ...

    async def open(self) -> None:
        """Called when the journal is open, before the ports are."""
        ...

    async def reset(self) -> None:
        """Begin anew."""
        ...

    async def close(self) -> None:
        """Called when the ports are closed, before the journal is."""
        ...


class Emulator:
    """Cloud Tasks v2 on two ports of `host`, gRPC and HTTP; port 0 takes a free one. An object is opened once.

    Without a journal nothing outlives the object. `deliver` replaces HTTP towards the targets. Unless `automatic`,
    nothing is dispatched but by `dispatcher.turn()`. `credentials` prove to declared targets who calls. `hosts` are the
    names by which the HTTP port may be called beside `host` and those of the loopback addresses. `queues` are there
    from the start, as `parse_queue` reads them.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings of one object
        self,
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 0,
        http_port: int = 0,
        hosts: Sequence[str] = (),
        journal: Journal | None = None,
        clock: Clock | None = None,
        deliver: Deliver | None = None,
        attempts: Attempts | None = None,
        queues: Sequence[Message] = (),
        credentials: Credentials | None = None,
        faults: Faults | None = None,
        limits: Limits | None = None,
        throttle: bool = True,
        automatic: bool = True,
        parts: Sequence[Part] = (),
        extra_grpc_handlers: Sequence[Any] = (),
        extra_routes: Sequence[BaseRoute] = (),
    ) -> None:
        """`open` starts it."""
        self._host = host
        self._grpc_port = grpc_port
        self._http_port = http_port
        self._hosts = (host, *hosts)
        self._automatic = automatic
        self._parts = parts
        self._extra_grpc_handlers = extra_grpc_handlers
        self._extra_routes = extra_routes
        self._http_delivery = HttpDelivery()
        self._stack = AsyncExitStack()
        limits = limits or Limits()
        clock = clock or SystemClock()
        self.journal = journal or Journal()
        self.dice = Dice(faults or Faults())
        self.attempts = attempts or Attempts(clock)
        self._wanted = queues
        self.store = Store(self.journal, clock, limits)
        self.dispatcher = Dispatcher(
            self.store,
            clock,
            self.attempts.recording(deliver or self._http_delivery),
            limits=limits,
            credentials=credentials,
            dice=self.dice,
            throttle=throttle,
        )
        self.queues = Queues(self.store, self.dispatcher, clock, limits)
        self.tasks = Tasks(self.store, self.dispatcher, clock, limits)
        self.batches = Batches(self.store, self.tasks, clock, limits)
        self.access = Access(self.store)

    def operations(self) -> list[Operation]:
        """Return all operations of Cloud Tasks, bound to this emulator."""
        locations = Locations(lambda: (queue.name for queue in self.store.queues()))
        return operations(self.queues, self.tasks, self.batches, self.access, locations)

    def rest_operations(self) -> list[Operation]:
        """Return those and what REST alone has."""
        # First: a name without a verb behind it matches what has one.
        return [*Buffer(self.store, self.tasks).operations(), *self.operations()]

    @property
    def grpc_address(self) -> str:
        """What CLOUD_TASKS_EMULATOR_HOST is set to, as `host:port`."""
        return f"{self._bracketed}:{self._grpc_port}"

    @property
    def http_address(self) -> str:
        """Where REST and the other documents are, as `http://host:port`."""
        return f"http://{self._bracketed}:{self._http_port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self._host}]" if ":" in self._host else self._host

    async def open(self) -> None:
        """Read the state, listen, dispatch. ConfigError when a port or the state file cannot be had."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._http_delivery.close)
            await self.journal.open()
            stack.push_async_callback(self.journal.close)
            self.store.load()
            self.dispatcher.load()
            stack.push_async_callback(self.dispatcher.close)
            await self._make_wanted()
            for part in self._parts:
                await part.open()
                stack.push_async_callback(part.close)
            await self._listen(stack)
            if self._automatic:
                self.dispatcher.start()
            self._stack = stack.pop_all()

    async def until_empty(self, seconds: float, *, queue: str = "") -> int:
        """Wait until no task is left, also none that is planned for later; return how many are, when the time is over.

        `queue`: of queues whose names begin so.
        """
        return await self.store.until_empty(seconds, queue)

    async def reset(self) -> None:
        """Begin anew: no tasks, jobs, attempts and used names; of the queues those that are there from the start."""
        for queue in list(self.store.queues()):
            self.dispatcher.queue_removed(queue.name)
            self.store.drop_queue(queue.name)
        self.store.forget_names()
        for part in self._parts:
            await part.reset()
        self.attempts.clear()
        await self._make_wanted()
        await self.journal.commit()

    async def _make_wanted(self) -> None:
        """Make the queues that are to be there, or give those that are there their limits. ConfigError names one."""
        for wanted in self._wanted:
            name = wanted.queue.name
            if self.store.queue(name) is not None and not wanted.update_mask.paths:
                continue
            try:
                await self.queues.update_queue(wanted)
            except ApiError as error:
                msg = f"queue {name}: {error.message}"
                raise ConfigError(msg) from error

    async def close(self) -> None:
        """Stop, and keep what was not done yet."""
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def _listen(self, stack: AsyncExitStack) -> None:
        server = new_server()
        own = handlers(self.operations(), self.dice, self.journal)
        others = [handler for part in self._parts for handler in part.grpc_handlers]
        server.add_generic_rpc_handlers((*own, *others, *self._extra_grpc_handlers))
        try:
            self._grpc_port = server.add_insecure_port(self.grpc_address)
        except RuntimeError as error:
            raise ConfigError(_taken(self.grpc_address)) from error
        await server.start()
        stack.push_async_callback(server.stop, _GRACE_S)
        app = application(
            [
                *(route for part in self._parts for route in part.routes),
                *control_routes(self.store, self.attempts, self.reset),
                *self._extra_routes,
                *routes(self.rest_operations(), self.dice, self.journal),
            ]
        )
        http = HttpServer(Gate(app, hosts=self._hosts), self._host, self._http_port)
        try:
            self._http_port = await http.start()
        except OSError as error:
            raise ConfigError(_taken(self.http_address)) from error
        stack.push_async_callback(http.stop)


def _taken(address: str) -> str:
    return f"emulator: cannot listen on {address}; name another port, or end what uses it"
