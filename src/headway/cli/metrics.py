"""Metrics on a port of a command's own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from headway.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class GroupMetrics:
    """What the processes of a command have counted, served while this is entered; without a port nothing happens.

    Made before the processes are started, so that they know where to publish; entered afterwards: it has a thread.
    """

    def __init__(self, host: str, port: int | None) -> None:
        """ConfigError when the package for it is missing."""
        self._host = host
        self._wanted = port
        self._stack = ExitStack()
        self._folder: Path | None = None
        self.port: int | None = None
        if port is not None:
            try:
                from headway.telemetry.of_group import publishing
            except ModuleNotFoundError as error:
                msg = f"--metrics-port needs the package {error.name}: pip install 'headway[metrics]'"
                raise ConfigError(msg) from error
            self._folder = self._stack.enter_context(publishing())

    def __enter__(self) -> Self:
        """Serve; ConfigError when the port cannot be had."""
        if self._wanted is not None and self._folder is not None:
            from headway.telemetry.of_group import GroupCollector, serving

            try:
                self.port = self._stack.enter_context(
                    serving(GroupCollector(self._folder), self._host, self._wanted)
                )
            except BaseException:
                self._stack.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Serve no more."""
        self._stack.close()
