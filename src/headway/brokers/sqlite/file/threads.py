"""The two threads that call SQLite, a writer and a reader, so that nothing blocks the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from headway.brokers.sqlite.file.connection import connect, translate
from headway.brokers.sqlite.file.operations import LoopWork, ThreadWork, deliver
from headway.brokers.sqlite.file.schema import app_number, migrate
from headway.brokers.sqlite.file.stall import Asked
from headway.brokers.sqlite.file.transaction import Transaction
from headway.errors import BrokerError, BrokerRefusedError, BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from headway.brokers.base import BrokerSettings
    from headway.brokers.sqlite.file.openfile import OpenFile
    from headway.brokers.sqlite.file.operations import AnyWork
    from headway.brokers.sqlite.location import Location
    from headway.clock import Clock

S = TypeVar("S")
T = TypeVar("T")

_GROUP: Final = 256  # operations in one commit: bounds how long the first of them waits


class _Thread(Generic[S]):
    """One thread with a connection of its own, which runs operations in the order in which they were submitted."""

    def __init__(self, name: str, location: Location, file: OpenFile) -> None:
        self._location = location
        self._file = file
        self._queue: SimpleQueue[AnyWork | None] = SimpleQueue()
        # A daemon: a transaction that the interpreter's end cuts off is rolled back at the next opening.
        self._thread = threading.Thread(target=self._run, name=f"headway-sqlite-{name}", daemon=True)
        self._closing = False
        self._door = threading.Lock()  # held to queue: nothing may come behind the end mark

    async def start(self) -> None:
        """Open the connection; translated errors."""
        opened = LoopWork[None](lambda _: None)
        self._queue.put(opened)
        self._thread.start()
        await asyncio.shield(opened.future)

    def submit(self, operation: Callable[[S], T]) -> asyncio.Future[T]:
        """Queue an operation from the loop's thread. Cancelling the future stops it only before it has begun."""
        work: LoopWork[T] = LoopWork(operation)  # not LoopWork[T](...), which is a call of typing each time
        self._put(work)
        return work.future

    def run(self, operation: Callable[[S], T]) -> T:
        """Queue an operation from another thread than the loop's, and wait for its answer."""
        work: ThreadWork[T] = ThreadWork(operation)
        self._put(work)
        return work.wait()

    def _put(self, work: AnyWork) -> None:
        with self._door:
            if self._closing:
                msg = f"{self._location.name}: the carrier is closed; open it again before you use it"
                raise BrokerUnavailableError(msg)
            self._queue.put(work)

    async def stop(self) -> None:
        """Wait until what was queued is done and the connection is closed."""
        with self._door:
            self._closing = True
            if self._thread.ident is None:
                return  # never started: the other thread could not open the file
            self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        first = self._queue.get()
        try:
            db = self._open()
        except BaseException as error:  # noqa: BLE001 - raised where the file is opened
            if first is not None:
                first.error = error
                deliver([first])
            return
        try:
            if first is not None:
                deliver([first])
            while batch := self._batch():
                if wanted := [work for work in batch if work.wanted]:
                    self._serve(db, wanted)
        finally:
            self._close(db)

    def _batch(self) -> list[AnyWork]:
        """Wait for operations and return those queued; none: the thread is to end."""
        work = self._queue.get()
        batch: list[AnyWork] = []
        try:
            while work is not None:
                batch.append(work)
                if len(batch) >= _GROUP:
                    return batch
                work = self._queue.get_nowait()
        except Empty:
            return batch
        if batch:
            self._queue.put(None)  # serve these first; nothing is queued behind the end
        return batch

    def _open(self) -> sqlite3.Connection:
        raise NotImplementedError

    def _serve(self, db: sqlite3.Connection, batch: list[AnyWork]) -> None:
        raise NotImplementedError

    def _close(self, db: sqlite3.Connection) -> None:
        db.close()

    def _fail(self, work: AnyWork, error: BaseException) -> None:
        work.error = self._explain(error)

    def _explain(self, error: BaseException) -> BaseException:
        match error:
            case sqlite3.ProgrammingError() | sqlite3.InterfaceError():  # Python's own, about a value
                explained: BrokerError = BrokerRefusedError(
                    f"{self._location.name}: a value cannot be stored: {error}"
                )
            case sqlite3.Error():
                try:
                    self._file.verify(now=True)
                except BrokerUnavailableError as lost:
                    explained = lost
                else:
                    explained = translate(error, self._location)
            case OverflowError() | UnicodeEncodeError():
                msg = f"{self._location.name}: a value cannot be stored: {error}"
                explained = BrokerRefusedError(msg)
            case _:
                return error
        explained.__cause__ = error
        return explained


class Reader(_Thread[sqlite3.Connection]):
    """Runs queries on a connection that cannot write."""

    def __init__(self, location: Location, file: OpenFile) -> None:
        """Prepare the thread; `start` opens the connection."""
        super().__init__("reader", location, file)

    def _open(self) -> sqlite3.Connection:
        db = connect(self._location, reader=True)
        db.create_function("fold", 1, _fold, deterministic=True)
        return db

    def _serve(self, db: sqlite3.Connection, batch: list[AnyWork]) -> None:
        for work in batch:
            try:
                self._file.verify()
                db.execute("BEGIN")  # one snapshot for all statements of an operation
                try:
                    work.result = work.operation(db)
                finally:
                    db.execute("ROLLBACK")
            except BaseException as error:  # noqa: BLE001 - raised where the answer is awaited
                self._fail(work, error)
            deliver([work])


def _fold(text: object) -> str | None:
    return text.casefold() if isinstance(text, str) else None


class Writer(_Thread[Transaction]):
    """Runs operations in transactions.

    Those that have gathered are committed together, each with a savepoint of its own.
    """

    def __init__(
        self,
        location: Location,
        file: OpenFile,
        settings: BrokerSettings,
        clock: Clock,
        committed: Callable[[], None],
    ) -> None:
        """`committed` is called on the thread after each commit, before the answers go out."""
        super().__init__("writer", location, file)
        self._settings = settings
        self._clock = clock
        self._committed = committed
        self.app = 0

    def _open(self) -> sqlite3.Connection:
        self._file.prepare()
        db = connect(self._location)
        try:
            migrate(db, self._location.name)
            self.app = app_number(db, self._settings.namespace)
            self._file.opened()
        except BaseException as error:
            db.close()
            raise self._explain(error) from error
        return db

    def _serve(self, db: sqlite3.Connection, batch: list[AnyWork]) -> None:
        asked = Asked.now(self._clock)
        try:
            self._file.verify()  # before reading: a log that others have begun anew looks like a damaged file
            db.execute("BEGIN IMMEDIATE")
            tx = Transaction(db, self.app, self._settings, self._clock, asked)
            for work in batch:
                self._perform(tx, work, alone=len(batch) == 1)
            tx.flush()
            self._file.verify()
            db.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - answered to those who asked
            _roll_back(db)
            explained = self._explain(error)
            if len(batch) > 1 and not isinstance(explained, BrokerUnavailableError):
                for (
                    work
                ) in batch:  # it may be one of them, such as the large one on a disk that is almost full
                    work.error = None
                    self._serve(db, [work])
                return
            for work in batch:
                work.error = work.error or explained
        else:
            self._committed()
        deliver(batch)

    def _close(self, db: sqlite3.Connection) -> None:
        self._file.close(db)

    def _perform(self, tx: Transaction, work: AnyWork, *, alone: bool) -> None:
        """Run one operation. One that fails is undone, and the others of its batch stand; `alone`: there are none."""
        if alone:
            work.result = work.operation(tx)
            return
        mark = tx.mark()
        tx.db.execute("SAVEPOINT operation")
        try:
            work.result = work.operation(tx)
        except BaseException as error:
            if not tx.db.in_transaction:
                raise  # SQLite has already undone everything, as after an error of the disk
            tx.db.execute("ROLLBACK TO operation")
            tx.restore(mark)
            self._fail(work, error)
        tx.db.execute("RELEASE operation")


def _roll_back(db: sqlite3.Connection) -> None:
    # The first error tells more; SQLite undoes an open transaction at the latest when the file is opened again.
    with suppress(sqlite3.Error):
        if db.in_transaction:
            db.execute("ROLLBACK")
