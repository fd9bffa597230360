"""What all servers of the tests have in common: the life of their process, and the end of what it kept."""

from __future__ import annotations

import urllib.request
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from tests.servers.process import ServerError, wait_until

if TYPE_CHECKING:
    import tempfile
    from types import TracebackType
    from typing import Self

    from tests.servers.process import ServerProcess


class Server(ABC):
    """One process that is ready when it answers. Port and data stay the same over kill and restart."""

    ready_within: ClassVar[float] = 20.0  # seconds
    _process: ServerProcess
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id; ServerError when it does not run."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process.running

    def start(self) -> None:
        """Start it and wait until it answers; ServerError shows the end of its log when it does not."""
        self._process.start()
        try:
            wait_until(self._ready, f"{self!r} ready", self.ready_within)
        except ServerError as error:
            self._process.kill()
            msg = f"{error}; the end of its log:\n{self._process.last_lines()}"
            raise ServerError(msg) from error

    def stop(self) -> None:
        """End it in order (SIGTERM), keeping its data."""
        self._process.stop()

    def kill(self) -> None:
        """End it at once (SIGKILL), keeping its data."""
        self._process.kill()

    def restart(self) -> None:
        """Stop it if it runs, and start it with the same data and port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._process.resume()

    def close(self) -> None:
        """End it and remove its data."""
        self.kill()
        if self._folder is not None:
            self._folder.cleanup()

    def last_lines(self, count: int = 20) -> str:
        """Return the end of its output, for messages."""
        return self._process.last_lines(count)

    def _ready(self) -> bool:
        if not self._process.running:
            msg = f"{self!r} ended while it started"
            raise ServerError(msg)
        return self._answers()

    @abstractmethod
    def _answers(self) -> bool:
        """Tell whether it takes what its clients send."""


def answers_200(url: str) -> bool:
    """Tell whether a GET is answered with 200. No proxy of the environment may stand between."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return int(answer.status) == 200
    except OSError:
        return False
