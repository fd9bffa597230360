"""Resources: what is declared wrongly is refused, and one process opens and closes the others in order, in time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from headway import Context, Headway, Resources
from headway.errors import DeclarationError
from headway.runtime.resources import Lifespan
from headway.testing import inline, inline_sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from headway.testing.plugin import InlineFactory


class Book:
    """An app whose resources write down what befalls them."""

    def __init__(self) -> None:
        self.app = Headway("resources")
        self.lines: list[str] = []

    def resource(self, name: str, *, fails: int = 0) -> Any:
        left = fails

        async def opened() -> AsyncIterator[str]:
            nonlocal left
            if left:
                left -= 1
                msg = f"{name} is away"
                raise ConnectionError(msg)
            self.lines.append(f"open {name}")
            yield name
            self.lines.append(f"close {name}")

        opened.__qualname__ = name
        return self.app.resource(opened)


@pytest.fixture
def book() -> Book:
    return Book()


# --- declarations -----------------------------------------------------------------------------------------------


def no_generator() -> int:
    return 1


async def coroutine() -> int:
    return 1


@contextlib.asynccontextmanager
async def managed() -> AsyncIterator[int]:
    yield 1


def two_parameters(one: int, two: int) -> Iterator[int]:
    yield one + two


def only_by_name(*, one: int) -> Iterator[int]:
    yield one


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (no_generator, "goes on a generator function, not on no_generator: write a function that opens it"),
        (coroutine, "goes on a generator function, not on coroutine"),
        (managed, "itself, without another decorator"),
        (two_parameters, "must take nothing, or the open resources"),
        (only_by_name, "must take nothing, or the open resources"),
        (7, "goes on a generator function, not on 7"),
    ],
)
def test_what_is_no_generator_function_is_refused(book: Book, written: Any, told: str) -> None:
    with pytest.raises(DeclarationError, match=told):
        book.app.resource(written)


def test_a_name_is_declared_once(book: Book) -> None:
    book.resource("db")
    with pytest.raises(DeclarationError, match=r"'tests.unit.test_resources.db' is declared twice"):
        book.resource("db")


# --- one process ------------------------------------------------------------------------------------------------


async def test_they_are_opened_in_order_of_declaration_and_closed_in_the_reverse_one(book: Book) -> None:
    first, second = book.resource("first"), book.resource("second")
    lifespan = Lifespan(book.app, "test")

    assert await lifespan.open()
    assert lifespan.is_open
    assert (lifespan.resources[first], lifespan.resources[second]) == ("first", "second")
    await lifespan.close()

    assert book.lines == ["open first", "open second", "close second", "close first"]
    assert first not in lifespan.resources


async def test_one_uses_those_declared_before_it(book: Book) -> None:
    db = book.resource("db")

    @book.app.resource
    async def users(resources: Resources) -> AsyncIterator[str]:
        yield f"users in {resources[db]}"

    lifespan = Lifespan(book.app, "test")
    await lifespan.open()
    assert lifespan.resources[users] == "users in db"
    await lifespan.close()


async def test_two_that_use_each_other_are_refused(book: Book) -> None:
    later: dict[str, Any] = {}

    @book.app.resource
    async def hen(resources: Resources) -> AsyncIterator[object]:
        yield resources[later["egg"]]

    @book.app.resource
    async def egg(resources: Resources) -> AsyncIterator[object]:
        yield resources[hen]

    later["egg"] = egg
    with pytest.raises(
        DeclarationError, match=r"egg' is not open: .*two that use each other cannot be opened"
    ):
        await Lifespan(book.app, "test").open()


@pytest.mark.parametrize("plain", [False, True])
async def test_one_that_never_yields_is_refused(book: Book, plain: bool) -> None:
    if plain:

        @book.app.resource
        def never() -> Iterator[int]:
            yield from ()
    else:

        @book.app.resource
        async def never() -> AsyncIterator[int]:
            for number in list[int]():
                yield number

    with pytest.raises(DeclarationError, match=r"never' yielded nothing: it must yield once"):
        await Lifespan(book.app, "test").open()


@pytest.mark.parametrize("plain", [False, True])
async def test_one_that_yields_twice_is_named_and_ended(
    book: Book, plain: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first = book.resource("first")
    ended: list[bool] = []
    if plain:

        @book.app.resource
        def twice() -> Iterator[int]:
            yield 1
            try:
                yield 2
            finally:
                ended.append(True)
    else:

        @book.app.resource
        async def twice() -> AsyncIterator[int]:
            yield 1
            try:
                yield 2
            finally:
                ended.append(True)

    lifespan = Lifespan(book.app, "test")
    await lifespan.open()
    await lifespan.close()
    assert "twice' yielded a second time" in caplog.text
    assert ended
    assert book.lines == ["open first", "close first"]
    assert first not in lifespan.resources


async def test_what_cannot_be_opened_is_tried_until_it_can_and_said_once(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    book.resource("first")
    book.resource("db", fails=3)
    lifespan = Lifespan(book.app, "worker w")

    with caplog.at_level(logging.WARNING):
        await lifespan.try_to_open()
        assert not lifespan.is_open
        assert await lifespan.open()
        await lifespan.close()

    lost, back = (record.getMessage() for record in caplog.records)
    assert lost.startswith(
        "worker w: resource 'tests.unit.test_resources.db' cannot be opened, tried again until it can; "
        "no job is run before: ConnectionError: db is away\nTraceback"
    )
    assert back.startswith("worker w: resource 'tests.unit.test_resources.db' is open, after ")
    assert book.lines == ["open first", "open db", "close db", "close first"]  # the first one once


async def test_whoever_leaves_meanwhile_closes_what_is_open_and_waits_for_nothing(book: Book) -> None:
    book.resource("first")
    stuck = asyncio.Event()
    cleaned: list[bool] = []

    @book.app.resource
    async def hangs() -> AsyncIterator[int]:
        stuck.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)
        yield 1

    lifespan = Lifespan(book.app, "test")
    opening = asyncio.create_task(lifespan.open())
    await stuck.wait()
    lifespan.leave()
    assert not await opening
    await lifespan.close()
    assert cleaned
    assert book.lines == ["open first", "close first"]


async def test_a_plain_one_that_opens_too_late_is_closed_where_it_was_opened(book: Book) -> None:
    began, go_on, closed = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    threads: list[int] = []

    @book.app.resource
    def slow() -> Iterator[int]:
        loop.call_soon_threadsafe(began.set)
        go_on.wait(30)
        threads.append(threading.get_ident())
        try:
            yield 1
        finally:
            threads.append(threading.get_ident())
            closed.set()

    lifespan = Lifespan(book.app, "test")
    opening = asyncio.create_task(lifespan.open())
    await began.wait()
    lifespan.leave()
    assert not await opening
    await lifespan.close()
    go_on.set()
    assert await asyncio.to_thread(closed.wait, 30)
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_what_is_entered_is_left_in_the_same_task(book: Book) -> None:
    tasks: list[object] = []

    @book.app.resource
    async def group() -> AsyncIterator[asyncio.TaskGroup]:
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup() as group:
            yield group
        tasks.append(asyncio.current_task())

    lifespan = Lifespan(book.app, "test")
    await lifespan.open()
    ran: list[bool] = []

    async def work() -> None:
        ran.append(True)

    lifespan.resources[group].create_task(work())
    await lifespan.close()
    assert ran
    assert tasks[0] is tasks[1]


@pytest.mark.parametrize("error", [ValueError("torn"), SystemExit(3), asyncio.CancelledError()], ids=repr)
async def test_an_error_at_the_close_is_logged_and_the_others_are_closed(
    book: Book, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    book.resource("first")

    @book.app.resource
    async def torn() -> AsyncIterator[int]:
        yield 1
        raise error

    lifespan = Lifespan(book.app, "test")
    await lifespan.open()
    await lifespan.close()
    assert f"torn' could not be closed: {type(error).__name__}" in caplog.text
    assert book.lines == ["open first", "close first"]


async def test_a_close_that_hangs_is_given_up(book: Book, caplog: pytest.LogCaptureFixture) -> None:
    @book.app.resource
    async def hangs() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    lifespan = Lifespan(book.app, "test")
    await lifespan.open()
    await asyncio.wait_for(lifespan.close(0.05), 5)
    assert "hangs' was not closed in time" in caplog.text


async def test_what_takes_long_to_open_is_named_meanwhile(
    book: Book, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headway.runtime.resources._SLOW", 0.01)
    go_on = asyncio.Event()

    @book.app.resource
    async def model() -> AsyncIterator[int]:
        await go_on.wait()
        yield 1

    lifespan = Lifespan(book.app, "worker w")
    opening = asyncio.create_task(lifespan.open())
    async with asyncio.timeout(20):
        while "model' has been opening for" not in caplog.text:  # noqa: ASYNC110 - a line of the log
            await asyncio.sleep(0.01)
    go_on.set()
    assert await opening
    await lifespan.close()


async def test_an_app_without_resources_starts_nothing(book: Book) -> None:
    lifespan = Lifespan(book.app, "test")
    before = asyncio.all_tasks()
    assert lifespan.is_open
    assert await lifespan.open()
    await lifespan.try_to_open()
    assert asyncio.all_tasks() == before
    await lifespan.close()


# --- handlers, inline -------------------------------------------------------------------------------------------


async def test_handlers_get_it_and_it_is_opened_once_before_the_first_job(book: Book) -> None:
    db = book.resource("db")

    @book.app.task
    async def on_the_loop(ctx: Context) -> str:
        return f"{ctx.resource(db)} on the loop"

    @book.app.task
    def in_a_thread(ctx: Context) -> str:
        return f"{ctx.resource(db)} in a thread"

    @book.app.task(run_in="process")
    def apart(ctx: Context) -> str:
        return f"{ctx.resource(db)} apart"

    async with inline(book.app) as box:
        assert await box.run_until_idle() == 0
        assert book.lines == []
        jobs = [await on_the_loop.enqueue(), await in_a_thread.enqueue(), await apart.enqueue()]
        assert await box.run_until_idle() == 3
        assert [await job.result() for job in jobs] == ["db on the loop", "db in a thread", "db apart"]
        assert book.lines == ["open db"]
    assert book.lines == ["open db", "close db"]


async def test_a_test_puts_a_value_in_its_place(book: Book) -> None:
    db, other = book.resource("db"), book.resource("other")

    @book.app.task
    async def ask(ctx: Context) -> str:
        return f"{ctx.resource(db)} {ctx.resource(other)}"

    async with inline(book.app, resources={db: "fake"}) as box:
        job = await ask.enqueue()
        await box.run_until_idle()
        assert await job.result() == "fake other"
    assert book.lines == ["open other", "close other"]

    with inline_sync(book.app, resources={db: "fake", other: "too"}) as blocking:
        waiting = ask.sync.enqueue()
        blocking.run_until_idle()
        assert waiting.result() == "fake too"


async def test_only_resources_of_the_app_are_stood_in_for(book: Book) -> None:
    foreign = Book().resource("db")
    with pytest.raises(DeclarationError, match=r"db' is not declared in app 'resources', but in another one"):
        async with inline(book.app, resources={foreign: 1}):
            pass
    with pytest.raises(DeclarationError, match=r"'db' is no resource: name what @app.resource stands on"):
        async with inline(book.app, resources={"db": 1}):  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
            pass


async def test_a_handler_that_asks_for_what_is_not_declared_fails_and_says_so(book: Book) -> None:
    foreign = Book().resource("db")

    @book.app.task
    async def ask(ctx: Context) -> str:
        found: str = ctx.resource(foreign)
        return found

    async with inline(book.app) as box:
        await ask.enqueue()
        with pytest.raises(DeclarationError, match="is not declared in app 'resources'"):
            await box.run_until_idle()


async def test_inline_raises_what_keeps_a_resource_from_opening_and_tries_again_when_asked(
    book: Book,
) -> None:
    db = book.resource("db", fails=1)

    @book.app.task
    async def ask(ctx: Context) -> str:
        found: str = ctx.resource(db)
        return found

    async with inline(book.app) as box:
        job = await ask.enqueue()
        with pytest.raises(ConnectionError, match="db is away"):
            await box.run_until_idle()
        assert await box.run_until_idle() == 1
        assert await job.result() == "db"


async def test_what_a_resource_does_to_its_context_variables_is_not_seen_by_jobs(book: Book) -> None:
    seen = contextvars.ContextVar("seen", default="nothing")

    @book.app.resource
    async def sets() -> AsyncIterator[int]:
        seen.set("the resource's")
        yield 1

    @book.app.task
    async def look() -> str:
        return seen.get()

    async with inline(book.app) as box:
        job = await look.enqueue()
        await box.run_until_idle()
        assert await job.result() == "nothing"
    assert sets.name.endswith("sets")


# --- the pytest plugin ------------------------------------------------------------------------------------------


shop = Book()
shop_db = shop.resource("db")


@shop.app.task
async def shop_ask(ctx: Context) -> str:
    found: str = ctx.resource(shop_db)
    return found


class TestPlugin:
    @pytest.fixture
    def headway_resources(self) -> dict[Any, object]:
        return {shop_db: "the fixture's"}

    async def test_the_fixture_stands_in_for_all_tests(self, headway_inline: InlineFactory) -> None:
        async with headway_inline(shop.app) as box:
            job = await shop_ask.enqueue()
            await box.run_until_idle()
            assert await job.result() == "the fixture's"

    async def test_a_single_test_gives_its_own(self, headway_inline: InlineFactory) -> None:
        async with headway_inline(shop.app, resources={shop_db: "mine"}) as box:
            job = await shop_ask.enqueue()
            await box.run_until_idle()
            assert await job.result() == "mine"
